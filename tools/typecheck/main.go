// Typecheck prints what go/types knows about the concurrent operations of a Go module.
//
// One JSON object a line: a call of a method that locks and contexts have (Lock, Add, Done,
// Wait, …) or an operation on a channel, with its position and its type. It is the yardstick
// of threadmend's own type layer; tools/compare_types.py holds the two against each other.
//
// Usage: go run . [-tags LIST] MODULE-DIRECTORY [PATTERN...]
//
// Everything is type-checked from source, dependencies without their function bodies, so
// that nothing has to be compiled; dependencies must be in the module cache.
package main

import (
	"bufio"
	"encoding/json"
	"flag"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"go/types"
	"io"
	"log"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// listed is what is needed of go list's answer about a package.
type listed struct {
	ImportPath string
	Dir        string
	GoFiles    []string
	ImportMap  map[string]string
	DepOnly    bool
	Standard   bool
	Module     *struct{ GoVersion string }
}

// operation is one line of the answer.
type operation struct {
	Path      string `json:"path"`
	Line      int    `json:"line"`
	Column    int    `json:"column"`
	Operation string `json:"operation"`
	// Type is the type that declares the method, or the channel's type.
	Type string `json:"type"`
	// Written is the same with the aliases that it is written with.
	Written string `json:"written"`
	// Receiver is the type of the operand as written; it differs for promoted methods.
	Receiver string `json:"receiver"`
	// Locker says that the type has Lock and Unlock methods.
	Locker bool `json:"locker,omitempty"`
}

var methods = map[string]bool{
	"Lock": true, "Unlock": true, "RLock": true, "RUnlock": true, "TryLock": true, "TryRLock": true,
	"Add": true, "Done": true, "Wait": true, "Go": true, "TryGo": true, "Do": true,
	"Signal": true, "Broadcast": true, "Err": true, "Deadline": true, "Value": true,
}

func main() {
	log.SetFlags(0)
	tags := flag.String("tags", "", "build tags, as go list takes them")
	flag.Parse()
	if flag.NArg() < 1 {
		log.Fatal("usage: typecheck [-tags LIST] MODULE-DIRECTORY [PATTERN...]")
	}
	root, err := filepath.Abs(flag.Arg(0))
	if err != nil {
		log.Fatal(err)
	}
	patterns := flag.Args()[1:]
	if len(patterns) == 0 {
		patterns = []string{"./..."}
	}
	packages, err := list(root, *tags, patterns)
	if err != nil {
		log.Fatal(err)
	}
	out := bufio.NewWriter(os.Stdout)
	defer out.Flush()
	p := &program{root: root, fset: token.NewFileSet(), done: map[string]*types.Package{}, out: json.NewEncoder(out), seen: map[operation]bool{}}
	p.out.SetEscapeHTML(false)
	for _, pkg := range packages {
		p.check(pkg)
	}
	log.Printf("%d packages, %d type errors", p.own, p.errors)
}

// list asks for the packages and all they need, dependencies before what imports them.
func list(root, tags string, patterns []string) ([]listed, error) {
	args := append([]string{"list", "-e", "-deps", "-test", "-tags", tags,
		"-json=ImportPath,Dir,GoFiles,ImportMap,DepOnly,Standard,Module"}, patterns...)
	command := exec.Command("go", args...)
	command.Dir = root
	command.Env = append(os.Environ(), "CGO_ENABLED=0")
	command.Stderr = os.Stderr
	stdout, err := command.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := command.Start(); err != nil {
		return nil, err
	}
	var packages []listed
	decoder := json.NewDecoder(stdout)
	for {
		var pkg listed
		if err := decoder.Decode(&pkg); err == io.EOF {
			break
		} else if err != nil {
			return nil, fmt.Errorf("go list: %w", err)
		}
		packages = append(packages, pkg)
	}
	return packages, command.Wait()
}

// program is everything checked so far.
type program struct {
	root   string
	fset   *token.FileSet
	done   map[string]*types.Package
	out    *json.Encoder
	seen   map[operation]bool
	own    int
	errors int
}

// imports finds what one package's imports stand for.
type imports struct {
	program *program
	replace map[string]string
}

func (i imports) Import(path string) (*types.Package, error) {
	if path == "unsafe" {
		return types.Unsafe, nil
	}
	if replaced, ok := i.replace[path]; ok {
		path = replaced
	}
	if pkg := i.program.done[path]; pkg != nil {
		return pkg, nil
	}
	return nil, fmt.Errorf("no package %s", path)
}

func (p *program) check(pkg listed) {
	if pkg.ImportPath == "unsafe" || strings.HasSuffix(pkg.ImportPath, ".test") {
		return
	}
	var files []*ast.File
	for _, name := range pkg.GoFiles {
		if !filepath.IsAbs(name) {
			name = filepath.Join(pkg.Dir, name)
		}
		file, err := parser.ParseFile(p.fset, name, nil, parser.SkipObjectResolution)
		if file != nil && err == nil {
			files = append(files, file)
		}
	}
	own := !pkg.DepOnly || strings.HasPrefix(pkg.Dir, p.root+string(filepath.Separator)) && !pkg.Standard
	info := &types.Info{Types: map[ast.Expr]types.TypeAndValue{}, Selections: map[*ast.SelectorExpr]*types.Selection{}, Uses: map[*ast.Ident]types.Object{}}
	config := &types.Config{
		Importer:         imports{p, pkg.ImportMap},
		IgnoreFuncBodies: !own,
		FakeImportC:      true,
		Error: func(err error) {
			if own {
				p.errors++
			}
		},
	}
	if pkg.Module != nil && pkg.Module.GoVersion != "" {
		config.GoVersion = "go" + pkg.Module.GoVersion
	}
	path, _, _ := strings.Cut(pkg.ImportPath, " ")
	if !own {
		info = nil
	}
	checked, _ := config.Check(path, p.fset, files, info)
	p.done[pkg.ImportPath] = checked
	if own {
		p.own++
		for _, file := range files {
			p.operations(file, info)
		}
	}
}

// operations prints the operations of one file.
func (p *program) operations(file *ast.File, info *types.Info) {
	ast.Inspect(file, func(node ast.Node) bool {
		switch node := node.(type) {
		case *ast.CallExpr:
			p.call(node, info)
		case *ast.SendStmt:
			p.channel(node, "send", node.Chan, info)
		case *ast.UnaryExpr:
			if node.Op == token.ARROW {
				p.channel(node, "receive", node.X, info)
			}
		case *ast.RangeStmt:
			if _, ok := channelOf(info.TypeOf(node.X)); ok {
				p.channel(node, "range", node.X, info)
			}
		}
		return true
	})
}

func (p *program) call(call *ast.CallExpr, info *types.Info) {
	switch callee := ast.Unparen(call.Fun).(type) {
	case *ast.Ident:
		if _, builtin := info.Uses[callee].(*types.Builtin); builtin && callee.Name == "close" && len(call.Args) == 1 {
			p.channel(call, "close", call.Args[0], info)
		}
	case *ast.SelectorExpr:
		if !methods[callee.Sel.Name] {
			return
		}
		selection := info.Selections[callee]
		if selection == nil || selection.Kind() != types.MethodVal {
			return
		}
		receiver := selection.Obj().(*types.Func).Signature().Recv().Type()
		if types.IsInterface(receiver) {
			if _, named := types.Unalias(receiver).(*types.Named); !named {
				receiver = selection.Recv()
			}
		}
		p.print(call, callee.Sel.Name, receiver, info.TypeOf(callee.X))
	}
}

func (p *program) channel(node ast.Node, name string, operand ast.Expr, info *types.Info) {
	typ := info.TypeOf(operand)
	if channel, ok := channelOf(typ); ok {
		p.print(node, name, channel, typ)
	}
}

// channelOf returns the channel that a type is, or that all of a type parameter's types are.
func channelOf(typ types.Type) (types.Type, bool) {
	if typ == nil {
		return nil, false
	}
	if channel, ok := typ.Underlying().(*types.Chan); ok {
		return channel, true
	}
	constraint, ok := typ.Underlying().(*types.Interface)
	if _, parameter := types.Unalias(typ).(*types.TypeParam); !ok || !parameter || constraint.NumEmbeddeds() != 1 {
		return nil, false
	}
	if union, ok := constraint.EmbeddedType(0).(*types.Union); ok && union.Len() == 1 {
		return channelOf(union.Term(0).Type())
	}
	return nil, false
}

func (p *program) print(node ast.Node, name string, typ, receiver types.Type) {
	position := p.fset.Position(node.Pos())
	path, err := filepath.Rel(p.root, position.Filename)
	if err != nil || strings.HasPrefix(path, "..") || typ == nil {
		return
	}
	found := operation{
		Path: filepath.ToSlash(path), Line: position.Line, Column: position.Column, Operation: name,
		Type: text(typ), Written: written(typ), Receiver: text(receiver), Locker: locker(typ),
	}
	if strings.Contains(found.Receiver, "invalid type") || strings.Contains(found.Type, "invalid type") || p.seen[found] {
		return
	}
	p.seen[found] = true
	if err := p.out.Encode(found); err != nil {
		log.Fatal(err)
	}
}

// text writes a type with full import paths, without pointers in front and with a channel's
// element looked up through aliases.
func text(typ types.Type) string {
	typ = pointedTo(typ)
	channel, ok := typ.(*types.Chan)
	if !ok {
		return written(typ)
	}
	word := map[types.ChanDir]string{types.SendRecv: "chan ", types.SendOnly: "chan<- ", types.RecvOnly: "<-chan "}[channel.Dir()]
	elem := types.Unalias(channel.Elem())
	if pointer, ok := elem.(*types.Pointer); ok {
		return word + "*" + text(pointer)
	}
	return word + text(elem)
}

func written(typ types.Type) string {
	return types.TypeString(pointedTo(typ), func(pkg *types.Package) string { return pkg.Path() })
}

func pointedTo(typ types.Type) types.Type {
	typ = types.Unalias(typ)
	for {
		pointer, ok := typ.(*types.Pointer)
		if !ok {
			return typ
		}
		typ = types.Unalias(pointer.Elem())
	}
}

func locker(typ types.Type) bool {
	if _, pointer := typ.(*types.Pointer); !pointer && !types.IsInterface(typ) {
		typ = types.NewPointer(typ)
	}
	set := types.NewMethodSet(typ)
	return set.Lookup(nil, "Lock") != nil && set.Lookup(nil, "Unlock") != nil
}
