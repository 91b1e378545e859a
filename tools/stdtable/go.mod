module threadmend.dev/tools/stdtable

go 1.25
