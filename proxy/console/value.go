package console

import (
	"net/netip"
	"reflect"
	"strings"
	"time"

	"github.com/replproxy/replproxy/grammar/lsn"
	"github.com/replproxy/replproxy/proxy/console/datum"
	"github.com/replproxy/replproxy/proxy/console/sql"
)

// table is a table with its rows: a value for each column.
type table struct {
	columns []sql.Column
	rows    [][]datum.Value
}

// list makes a table of structs of the status document: a column for each field that is no list of objects.
func list[T any](all []T) table {
	var t table
	typ := reflect.TypeFor[T]()
	for i := range typ.NumField() {
		if f := typ.Field(i); typeOf(f.Type) != 0 {
			t.columns = append(t.columns, sql.Column{Name: tag(f), Type: typeOf(f.Type)})
		}
	}
	for _, one := range all {
		v := reflect.ValueOf(one)
		var row []datum.Value
		for i := range typ.NumField() {
			if typeOf(typ.Field(i).Type) != 0 {
				row = append(row, valueOf(v.Field(i), typ.Field(i)))
			}
		}
		t.rows = append(t.rows, row)
	}
	return t
}

// pairs makes a table of one struct: a row for each field that is no list of objects, those of objects as
// "store.oldest_lsn". only picks fields by their kind; nil: all.
func pairs(of any, only func(reflect.Kind) bool) table {
	t := table{columns: []sql.Column{{Name: "name", Type: datum.Text}, {Name: "value", Type: datum.Text}}}
	flatten(&t, "", reflect.ValueOf(of), only)
	return t
}

func flatten(t *table, prefix string, v reflect.Value, only func(reflect.Kind) bool) {
	for i := range v.NumField() {
		f, field := v.Field(i), v.Type().Field(i)
		name := prefix + tag(field)
		if f.Kind() == reflect.Struct && typeOf(field.Type) == 0 {
			flatten(t, name+".", f, only)
			continue
		}
		typ := typeOf(field.Type)
		if typ == 0 || only != nil && !only(f.Kind()) {
			continue
		}
		value := valueOf(f, field)
		if value != nil {
			value = datum.Format(typ, value, time.UTC)
		}
		t.rows = append(t.rows, []datum.Value{name, value})
	}
}

// tagged returns the tag with the name of a field: that in the document, or that of a column here alone.
func tagged(f reflect.StructField) string {
	if name := f.Tag.Get("column"); name != "" {
		return name
	}
	return f.Tag.Get("json")
}

// tag returns a field's name.
func tag(f reflect.StructField) string {
	name, _, _ := strings.Cut(tagged(f), ",")
	return name
}

// absent reports whether the document leaves a field out when it is zero. Then it is NULL here.
func absent(f reflect.StructField) bool { return strings.Contains(tagged(f), ",omit") }

// typeOf returns the type of a field's column; 0: it is none, as of a list of objects.
func typeOf(t reflect.Type) datum.Type {
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	switch t {
	case reflect.TypeFor[time.Time]():
		return datum.Timestamptz
	case reflect.TypeFor[lsn.LSN]():
		return datum.LSN
	case reflect.TypeFor[[]string]():
		return datum.Text
	}
	switch t.Kind() {
	case reflect.Bool:
		return datum.Bool
	case reflect.String:
		return datum.Text
	case reflect.Float64:
		return datum.Float8
	case reflect.Int32:
		return datum.Int4
	case reflect.Int, reflect.Int64, reflect.Uint32, reflect.Uint64:
		return datum.Int8
	}
	return 0
}

func valueOf(v reflect.Value, f reflect.StructField) datum.Value {
	if absent(f) && v.IsZero() || v.Kind() == reflect.Pointer && v.IsNil() {
		return nil
	}
	if v.Kind() == reflect.Pointer {
		v = v.Elem()
	}
	switch x := v.Interface().(type) {
	case time.Time:
		return moment(x)
	case lsn.LSN:
		return x
	case []string:
		return strings.Join(x, "\n")
	}
	switch {
	case v.CanInt():
		return v.Int()
	case v.CanUint():
		return int64(v.Uint())
	case v.CanFloat():
		return v.Float()
	case v.Kind() == reflect.Bool:
		return v.Bool()
	}
	return v.String()
}

// The following return values of columns, and NULL for what is zero.

func moment(t time.Time) datum.Value {
	if t.IsZero() {
		return nil
	}
	return t.UTC().Truncate(time.Microsecond)
}

func position(l lsn.LSN) datum.Value {
	if l == lsn.Invalid {
		return nil
	}
	return l
}

func word(s string) datum.Value {
	if s == "" {
		return nil
	}
	return s
}

// xid returns the lower half of a transaction ID with its epoch, as PostgreSQL's views do.
func xid(x uint64) datum.Value {
	if x == 0 {
		return nil
	}
	return int64(uint32(x))
}

func address(host string) datum.Value {
	a, err := netip.ParseAddr(host)
	if err != nil {
		return nil
	}
	a = a.Unmap().WithZone("")
	return netip.PrefixFrom(a, a.BitLen())
}

// lag returns seconds as an interval.
func lag(seconds *float64) datum.Value {
	if seconds == nil {
		return nil
	}
	return datum.Span{Micros: int64(*seconds * 1e6)}
}
