package pgerror

import (
	"errors"
	"fmt"
	"slices"
)

// Severity is the V field of ErrorResponse. An ERROR keeps the session, a FATAL ends it.
type Severity string

// The severities that a proxy needs.
const (
	SeverityError   Severity = "ERROR"
	SeverityFatal   Severity = "FATAL"
	SeverityNotice  Severity = "NOTICE"
	SeverityWarning Severity = "WARNING"
)

// Code is a five character SQLSTATE.
type Code string

// The SQLSTATEs replproxy uses, named as in PostgreSQL's errcodes.txt.
const (
	ProtocolViolation       Code = "08P01"
	FeatureNotSupported     Code = "0A000"
	InvalidLimit            Code = "2201W"
	InvalidOffset           Code = "2201X"
	NumericOutOfRange       Code = "22003"
	InvalidDatetime         Code = "22007"
	DatetimeOverflow        Code = "22008"
	DivisionByZero          Code = "22012"
	NotInRepertoire         Code = "22021"
	InvalidParameterValue   Code = "22023"
	InvalidEscape           Code = "22025"
	InvalidTextForm         Code = "22P02"
	InvalidBinaryForm       Code = "22P03"
	ActiveSQLTransaction    Code = "25001"
	NoActiveTransaction     Code = "25P01"
	FailedTransaction       Code = "25P02"
	InvalidStatementName    Code = "26000"
	InvalidAuthorization    Code = "28000"
	InvalidPassword         Code = "28P01"
	InvalidCursorName       Code = "34000"
	InvalidSavepoint        Code = "3B001"
	InsufficientPrivilege   Code = "42501"
	SyntaxError             Code = "42601"
	InvalidName             Code = "42602"
	NameTooLong             Code = "42622"
	AmbiguousColumn         Code = "42702"
	UndefinedColumn         Code = "42703"
	UndefinedObject         Code = "42704"
	DuplicateObject         Code = "42710"
	GroupingError           Code = "42803"
	DatatypeMismatch        Code = "42804"
	CannotCoerce            Code = "42846"
	UndefinedFunction       Code = "42883"
	AmbiguousParameter      Code = "42P08"
	IndeterminateDatatype   Code = "42P18"
	UndefinedTable          Code = "42P01"
	UndefinedParameter      Code = "42P02"
	DuplicateCursor         Code = "42P03"
	DuplicateStatement      Code = "42P05"
	InvalidColumnReference  Code = "42P10"
	InsufficientResources   Code = "53000"
	DiskFull                Code = "53100"
	TooManyConnections      Code = "53300"
	ConfigurationLimit      Code = "53400"
	ProgramLimitExceeded    Code = "54000"
	StatementTooComplex     Code = "54001"
	TooManyColumns          Code = "54011"
	ObjectNotInPrerequisite Code = "55000"
	ObjectInUse             Code = "55006"
	QueryCanceled           Code = "57014"
	AdminShutdown           Code = "57P01"
	CrashShutdown           Code = "57P02"
	CannotConnectNow        Code = "57P03"
	IOError                 Code = "58030"
	UndefinedFile           Code = "58P01"
	ConnectionFailure       Code = "08006"
	DataCorrupted           Code = "XX001"
	InternalError           Code = "XX000"
)

// Error is one ErrorResponse or NoticeResponse. Position is 1-based in characters, 0 for none.
type Error struct {
	Severity Severity
	Code     Code
	Message  string
	Detail   string
	Hint     string
	Position int
	cause    error
}

// New returns an ERROR.
func New(code Code, format string, args ...any) *Error {
	return &Error{Severity: SeverityError, Code: code, Message: fmt.Sprintf(format, args...)}
}

// Fatal returns a FATAL: the session ends after it.
func Fatal(code Code, format string, args ...any) *Error {
	return &Error{Severity: SeverityFatal, Code: code, Message: fmt.Sprintf(format, args...)}
}

// Notice returns a NOTICE with a code, such as the one about truncated identifiers.
func Notice(code Code, format string, args ...any) *Error {
	return &Error{Severity: SeverityNotice, Code: code, Message: fmt.Sprintf(format, args...)}
}

// Error renders message and SQLSTATE, and for the log the cause, if that says more. It never goes on the wire.
func (e *Error) Error() string {
	s := fmt.Sprintf("%s (SQLSTATE %s)", e.Message, e.Code)
	if e.cause != nil && e.cause.Error() != e.Message {
		s += ": " + e.cause.Error()
	}
	return s
}

// Unwrap returns the cause given to WithCause, or nil.
func (e *Error) Unwrap() error { return e.cause }

// Is reports whether target is an Error of the same SQLSTATE and message.
func (e *Error) Is(target error) bool {
	t, ok := target.(*Error)
	return ok && t.Code == e.Code && t.Message == e.Message
}

// WithDetail returns a copy of e with DETAIL.
func (e *Error) WithDetail(format string, args ...any) *Error {
	c := *e
	c.Detail = fmt.Sprintf(format, args...)
	return &c
}

// WithHint returns a copy of e with HINT.
func (e *Error) WithHint(format string, args ...any) *Error {
	c := *e
	c.Hint = fmt.Sprintf(format, args...)
	return &c
}

// At returns a copy of e with a position: the 1-based character of the statement that it is about.
func (e *Error) At(position int) *Error {
	c := *e
	c.Position = position
	return &c
}

// WithCause returns a copy of e that wraps err for the log; the peer never sees it.
func (e *Error) WithCause(err error) *Error {
	c := *e
	c.cause = err
	return &c
}

// AsFatal returns a copy of e that ends the session.
func (e *Error) AsFatal() *Error {
	c := *e
	c.Severity = SeverityFatal
	return &c
}

// IsFatal reports whether the session ends with e.
func (e *Error) IsFatal() bool { return e.Severity == SeverityFatal }

// From finds the Error in err's chain. The operating system's about a file becomes PostgreSQL's, as 53100 where the
// disk is full; any other error becomes XX000 with a neutral text. Both have err as their cause. nil gives nil.
func From(err error) *Error {
	if err == nil {
		return nil
	}
	var e *Error
	if errors.As(err, &e) {
		return e
	}
	if e = ofFile(err); e != nil {
		return e
	}
	return New(InternalError, "internal error in replproxy").WithCause(err).
		WithHint("The replproxy log names the cause.")
}

// HasCode reports whether err is, or wraps, an error with one of the codes.
func HasCode(err error, codes ...Code) bool {
	var e *Error
	return errors.As(err, &e) && slices.Contains(codes, e.Code)
}
