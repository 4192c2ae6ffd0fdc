package config

import (
	"errors"
	"fmt"
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"
)

// maxFile bounds a configuration file: the commented reference has about 6 kB.
const maxFile = 1 << 20

// document is one YAML file taken apart: leaf keys with their texts and places.
type document struct {
	name  string
	lines []string
	found []found
}

// found is a key that the file sets. A null value leaves the default and is not found.
type found struct {
	key   key
	texts []string
	at    *token.Position
	items []*token.Position // of each text, where there is a list
}

// origin names the place that set a key last.
type origin struct {
	flag  string
	at    *token.Position
	items []*token.Position
}

// parse reads strict YAML. Everything that is wrong is returned at once, except that after a
// syntax error nothing else can be judged.
func parse(name string, content []byte) (*document, Errors) {
	d := &document{name: name, lines: strings.Split(string(content), "\n")}
	if len(content) > maxFile {
		return d, Errors{{File: name, Message: fmt.Sprintf("is larger than %d bytes", maxFile)}}
	}
	file, err := parser.ParseBytes(content, 0)
	if err != nil {
		return d, Errors{d.syntax(err)}
	}
	var errs Errors
	for i, doc := range file.Docs {
		switch {
		case doc.Body == nil:
		case i > 0:
			errs = append(errs, d.at(doc.Body.GetToken().Position, "",
				"a second YAML document; one file is one configuration"))
		default:
			errs = append(errs, d.walk("", doc.Body)...)
		}
	}
	return d, errs
}

func (d *document) syntax(err error) *Error {
	var y yaml.Error
	if !errors.As(err, &y) || y.GetToken() == nil {
		return &Error{File: d.name, Message: err.Error()}
	}
	message := y.GetMessage()
	if strings.Contains(message, "alias") {
		message = "an unquoted * begins a YAML alias: write '*' in quotes"
	}
	return d.at(y.GetToken().Position, "", message).cut()
}

// walk visits a mapping: sections descend, keys are collected, the rest is refused.
func (d *document) walk(prefix string, body ast.Node) Errors {
	m, ok := body.(*ast.MappingNode)
	if !ok {
		if _, comment := body.(*ast.CommentGroupNode); comment {
			return nil
		}
		if _, null := body.(*ast.NullNode); null {
			return nil
		}
		return Errors{d.at(body.GetToken().Position, prefix,
			"expected keys and values here, as in \"name: proxy_a\"").cut()}
	}
	var errs Errors
	for _, v := range m.Values {
		errs = append(errs, d.entry(prefix, v)...)
	}
	return errs
}

func (d *document) entry(prefix string, v *ast.MappingValueNode) Errors {
	tok := v.Key.GetToken()
	path := tok.Value
	if prefix != "" {
		path = prefix + "." + path
	}
	// A key may not hold a dot: "wal.keep_size: 1GB" beside "wal: {keep_size: 2GB}" would be set twice.
	if k, ok := keyByPath(path); ok && !strings.Contains(tok.Value, ".") {
		return d.leaf(k, v.Value)
	}
	if isSection(path) {
		return d.walk(path, v.Value)
	}
	message := fmt.Sprintf("unknown key %q", path)
	if section, leaf, dotted := strings.Cut(tok.Value, "."); dotted {
		message += fmt.Sprintf("; write \"%s:\" and below it, indented, \"%s:\"", section, leaf)
		return Errors{d.at(tok.Position, "", message).cut()}
	}
	if near := nearest(path); near != "" {
		message += fmt.Sprintf("; did you mean %q?", near)
	}
	return Errors{d.at(tok.Position, "", message).cut()}
}

func (d *document) leaf(k key, node ast.Node) Errors {
	at := node.GetToken().Position
	nodes := []ast.Node{node}
	kind := k.of(Default())
	if _, null := node.(*ast.NullNode); kind.lists && !null {
		return d.lists(k, node)
	}
	if _, null := node.(*ast.NullNode); kind.maps && !null {
		return d.maps(k, node)
	}
	isList := kind.list
	if seq, ok := node.(*ast.SequenceNode); ok && isList {
		nodes = seq.Values
	} else if _, null := node.(*ast.NullNode); null {
		return nil
	} else if isList {
		return Errors{d.at(at, k.path, "expected a list, as in [\"a\", \"b\"]")}
	}
	f := found{key: k, at: at, texts: []string{}}
	rules := found{at: at}
	var errs Errors
	for _, n := range nodes {
		if m, ok := n.(*ast.MappingNode); ok && k.path == "listen" {
			address, bad := d.listener(m, &rules)
			errs = append(errs, bad...)
			f.texts, f.items = append(f.texts, address), append(f.items, m.GetToken().Position)
			continue
		}
		t, err := scalar(n)
		if err != nil {
			errs = append(errs, d.at(n.GetToken().Position, k.path, err.Error()))
		}
		f.texts, f.items = append(f.texts, t), append(f.items, n.GetToken().Position)
	}
	if len(errs) > 0 {
		return errs
	}
	d.found = append(d.found, f)
	if rules.texts != nil {
		rules.key, _ = keyByPath(listenAccess)
		d.found = append(d.found, rules)
	}
	return nil
}

// listener reads an entry of listen that is more than an address. Its rules are added to f.
func (d *document) listener(m *ast.MappingNode, f *found) (address string, errs Errors) {
	bad := func(n ast.Node, message string) { errs = append(errs, d.at(n.GetToken().Position, "listen", message)) }
	var rules *ast.SequenceNode
	for _, v := range m.Values {
		seq, isList := v.Value.(*ast.SequenceNode)
		switch name := v.Key.GetToken().Value; {
		case name == "address":
			text, err := scalar(v.Value)
			if err != nil {
				bad(v.Value, err.Error())
			}
			address = text
		case name == "access" && isList:
			rules = seq
		case name == "access":
			bad(v.Value, `expected a list of rules, as in ["host all all 10.0.0.0/8 relay"]`)
		default:
			bad(v.Key, fmt.Sprintf("unknown key %q; a listener has address and access", name))
		}
	}
	if len(errs) == 0 && address == "" {
		bad(m, `the listener has no address, as in {address: ":6543", access: ["host all all 10.0.0.0/8 relay"]}`)
	}
	if rules == nil {
		return address, errs
	}
	if len(rules.Values) == 0 {
		f.texts, f.items = append(f.texts, address), append(f.items, rules.GetToken().Position)
	}
	for _, n := range rules.Values {
		text, err := scalar(n)
		if err != nil {
			bad(n, err.Error())
		}
		f.texts, f.items = append(f.texts, address+"\x00"+text), append(f.items, n.GetToken().Position)
	}
	return address, errs
}

// lists reads a mapping whose values are lists.
func (d *document) lists(k key, node ast.Node) Errors {
	f := found{key: k, at: node.GetToken().Position, texts: []string{}}
	var errs Errors
	bad := func(n ast.Node, message string) { errs = append(errs, d.at(n.GetToken().Position, k.path, message)) }
	m, ok := node.(*ast.MappingNode)
	if !ok {
		bad(node, "expected names and lists, as in {east: [s1, s2]}")
		return errs
	}
	for _, v := range m.Values {
		seq, ok := v.Value.(*ast.SequenceNode)
		if !ok || len(seq.Values) == 0 {
			bad(v.Value, "expected a list, as in [s1, s2]")
			continue
		}
		for _, n := range seq.Values {
			t, err := scalar(n)
			if err != nil {
				bad(n, err.Error())
			}
			f.texts = append(f.texts, v.Key.GetToken().Value+"\x00"+t)
		}
	}
	if len(errs) == 0 {
		d.found = append(d.found, f)
	}
	return errs
}

// scalar returns a value's text as it was written; the key decides what it means, so `1` can be a name.
func scalar(n ast.Node) (string, error) {
	switch n := n.(type) {
	case *ast.StringNode:
		return n.Value, nil
	case *ast.LiteralNode:
		return strings.TrimRight(n.Value.Value, "\n"), nil
	case *ast.AliasNode, *ast.AnchorNode, *ast.TagNode:
		return "", errors.New("YAML anchors, aliases and tags are not used here: " +
			"a text that begins with *, & or ! needs quotes")
	case ast.ScalarNode:
		return n.GetToken().Value, nil
	}
	return "", errors.New("expected a single value")
}

// at returns an error about a key with its line and column; a nil p has none. Secrets in the line are masked.
func (d *document) at(p *token.Position, key, message string) *Error {
	e := &Error{File: d.name, Key: key, Message: message}
	if p != nil && p.Line >= 1 && p.Line <= len(d.lines) {
		e.Line, e.Column = p.Line, p.Column
		e.source = strings.ReplaceAll(Redact(strings.TrimRight(d.lines[p.Line-1], "\r")), "\t", " ")
	}
	return e
}
