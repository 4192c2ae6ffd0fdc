package admin

import (
	"fmt"
	"reflect"
	"strings"
)

// StatusPage returns docs/status.md, made from the tags of [Status].
func StatusPage() string {
	var b strings.Builder
	b.WriteString("# The status document\n\n" +
		"`GET /status` answers this JSON document; `replproxy status` prints it as a table, and the page at\n" +
		"`/` draws it. This page is generated from `proxy/admin/status.go` (`go test ./proxy/admin -update`).\n\n" +
		"Positions are texts in PostgreSQL's form (`16/B374D848`) and absent while they are not known. Times are\n" +
		"RFC 3339. Fields may be added; a field's meaning does not change.\n")
	section(&b, "", reflect.TypeFor[Status]())
	return b.String()
}

func section(b *strings.Builder, path string, t reflect.Type) {
	title := "The document"
	if path != "" {
		title = "`" + path + "`"
	}
	fmt.Fprintf(b, "\n## %s\n\n| Field | Type | Meaning |\n|---|---|---|\n", title)
	type nested struct {
		path string
		t    reflect.Type
	}
	var later []nested
	for i := range t.NumField() {
		f := t.Field(i)
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		if name == "-" {
			continue
		}
		kind, inner := kindOf(f.Type)
		fmt.Fprintf(b, "| `%s` | %s | %s |\n", name, kind, f.Tag.Get("doc"))
		if inner != nil {
			later = append(later, nested{strings.TrimPrefix(path+"."+name, "."), inner})
		}
	}
	for _, n := range later {
		section(b, n.path, n.t)
	}
}

// kindOf returns a type in JSON's words, and the struct inside when there is one to describe.
func kindOf(t reflect.Type) (string, reflect.Type) {
	switch t.String() {
	case "time.Time":
		return "time", nil
	case "lsn.LSN":
		return "position", nil
	}
	switch t.Kind() {
	case reflect.Pointer:
		return kindOf(t.Elem())
	case reflect.Slice:
		kind, inner := kindOf(t.Elem())
		return "list of " + kind + "s", inner
	case reflect.Struct:
		return "object", t
	case reflect.Bool:
		return "boolean", nil
	case reflect.String:
		return "text", nil
	}
	return "number", nil
}
