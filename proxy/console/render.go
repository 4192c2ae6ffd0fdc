package console

import (
	"fmt"
	"reflect"
	"strings"
	"time"

	"github.com/replproxy/replproxy/proxy/admin"
)

// list renders one row for each struct and one column for each of its fields.
func list[T any](all []T) Table {
	t := Table{}
	typ := reflect.TypeFor[T]()
	for i := range typ.NumField() {
		name, _ := tag(typ.Field(i))
		t.Columns = append(t.Columns, name)
	}
	for _, one := range all {
		v := reflect.ValueOf(one)
		var row []*string
		for i := range typ.NumField() {
			row = append(row, render(v.Field(i), typ.Field(i)))
		}
		t.Rows = append(t.Rows, row)
	}
	return t
}

// pairs returns one row for each field that is no list of objects, those of objects as "store.oldest_lsn".
func pairs(s *admin.Status) Table {
	t := Table{Columns: []string{"name", "value"}}
	flatten(&t, "", reflect.ValueOf(*s))
	return t
}

func flatten(t *Table, prefix string, v reflect.Value) {
	for i := range v.NumField() {
		f, field := v.Field(i), v.Type().Field(i)
		name, _ := tag(field)
		name = prefix + name
		_, isTime := f.Interface().(time.Time)
		switch {
		case f.Kind() == reflect.Struct && !isTime:
			flatten(t, name+".", f)
		case f.Kind() == reflect.Slice && f.Type().Elem().Kind() == reflect.Struct:
		default:
			t.Rows = append(t.Rows, []*string{&name, render(f, field)})
		}
	}
}

// tag returns a field's name in the document, and whether it is absent there when it is zero.
func tag(f reflect.StructField) (name string, absent bool) {
	name, options, _ := strings.Cut(f.Tag.Get("json"), ",")
	return name, strings.HasPrefix(options, "omit")
}

// render returns a value as PostgreSQL would print it; NULL for what the document leaves out.
func render(v reflect.Value, f reflect.StructField) *string {
	if _, absent := tag(f); absent && v.IsZero() {
		return nil
	}
	for v.Kind() == reflect.Pointer {
		v = v.Elem()
	}
	text := ""
	switch x := v.Interface().(type) {
	case time.Time:
		text = x.UTC().Format("2006-01-02 15:04:05.000000+00")
	case bool:
		if text = "f"; x {
			text = "t"
		}
	case []string:
		text = strings.Join(x, "\n")
	default:
		text = fmt.Sprint(x)
	}
	return &text
}
