package datum

import (
	"math/big"

	"github.com/replproxy/replproxy/grammar/pgerror"
)

// Type is the OID of a type in PostgreSQL's catalog.
type Type uint32

// The types that columns and expressions have. Unknown is that of a literal or parameter whose type is yet to be found.
const (
	Bool        Type = 16
	Name        Type = 19
	Int8        Type = 20
	Int4        Type = 23
	Text        Type = 25
	OID         Type = 26
	Xid         Type = 28
	Float8      Type = 701
	Unknown     Type = 705
	Inet        Type = 869
	Timestamptz Type = 1184
	Interval    Type = 1186
	Numeric     Type = 1700
	LSN         Type = 3220

	// Drivers give parameters these types. Expressions take them as Int4 and as Text.
	Int2    Type = 21
	Varchar Type = 1043
)

// Widened returns the type as which a parameter's type is taken.
func (t Type) Widened() Type {
	switch t {
	case Int2:
		return Int4
	case Varchar:
		return Text
	}
	return t
}

// Value is a value: nil for NULL, else as kinds lists for each type.
type Value any

// Span is the value of an interval.
type Span struct {
	Months, Days int32
	Micros       int64
}

// Number is the value of a numeric: Digits / 10^Scale.
type Number struct {
	Digits *big.Int
	Scale  int
}

// kind describes a type. A value is a bool, string, int64, float64, time.Time, lsn.LSN, netip.Prefix, Span or Number.
type kind struct {
	name, spelled string // in pg_type, and as format_type has it
	size          int16
}

func (t Type) kind() kind {
	switch t {
	case Bool:
		return kind{"bool", "boolean", 1}
	case Name:
		return kind{"name", "name", 64}
	case Int8:
		return kind{"int8", "bigint", 8}
	case Int2:
		return kind{"int2", "smallint", 2}
	case Int4:
		return kind{"int4", "integer", 4}
	case Text:
		return kind{"text", "text", -1}
	case Varchar:
		return kind{"varchar", "character varying", -1}
	case OID:
		return kind{"oid", "oid", 4}
	case Xid:
		return kind{"xid", "xid", 4}
	case Float8:
		return kind{"float8", "double precision", 8}
	case Inet:
		return kind{"inet", "inet", -1}
	case Timestamptz:
		return kind{"timestamptz", "timestamp with time zone", 8}
	case Interval:
		return kind{"interval", "interval", 16}
	case Numeric:
		return kind{"numeric", "numeric", -1}
	case LSN:
		return kind{"pg_lsn", "pg_lsn", 8}
	}
	return kind{"unknown", "unknown", -2}
}

// String returns the name that error messages give the type.
func (t Type) String() string { return t.kind().spelled }

// CatalogName returns typname of pg_type.
func (t Type) CatalogName() string { return t.kind().name }

// Size returns typlen of pg_type: negative for values of no fixed size.
func (t Type) Size() int16 { return t.kind().size }

// Known reports whether the package has values of the type.
func (t Type) Known() bool { return t.Size() != -2 }

// Category groups types as typcategory does: N numbers, S texts, and so on; 0 for Unknown.
func (t Type) Category() byte {
	switch t {
	case Int4, Int8, OID, Float8, Numeric:
		return 'N'
	case Text, Name:
		return 'S'
	case Bool:
		return 'B'
	case Inet:
		return 'I'
	case Timestamptz:
		return 'D'
	case Interval:
		return 'T'
	case LSN, Xid:
		return 'U'
	}
	return 0
}

// Preferred reports typispreferred.
func (t Type) Preferred() bool {
	switch t {
	case Bool, Text, OID, Float8, Inet, Timestamptz, Interval:
		return true
	}
	return false
}

// Named returns the type of an SQL name in lower case; 0 for one that is not had here.
func Named(name string) Type {
	switch name {
	case "int", "integer", "int4":
		return Int4
	case "bigint", "int8":
		return Int8
	case "boolean", "bool":
		return Bool
	case "decimal", "dec", "numeric":
		return Numeric
	case "float", "float8", "double precision":
		return Float8
	case "timestamptz", "timestamp with time zone":
		return Timestamptz
	}
	for _, t := range []Type{Name, Text, OID, Xid, Inet, Interval, LSN} {
		if t.CatalogName() == name {
			return t
		}
	}
	return 0
}

func errText(t Type, text string) error {
	return pgerror.New(pgerror.InvalidTextForm, "invalid input syntax for type %s: \"%s\"", t, text)
}

// errForm refuses a text that PostgreSQL may take and this package does not.
func errForm(t Type, text string) error {
	return pgerror.New(pgerror.FeatureNotSupported,
		"the form \"%s\" of type %s is not supported by the console of replproxy", text, t)
}
