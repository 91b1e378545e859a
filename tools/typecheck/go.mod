module threadmend.dev/tools/typecheck

go 1.25
