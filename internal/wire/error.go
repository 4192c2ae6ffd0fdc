package wire

import (
	"strconv"
	"strings"

	"github.com/replproxy/replproxy/grammar/pgerror"
)

// AppendError appends e as a frame: ErrorResponse 'E', or NoticeResponse 'N' for notices and
// warnings. Fields are S V C M and, when set, D H P (facts A8). The cause never goes out.
func AppendError(b []byte, e *pgerror.Error) []byte {
	typ := byte('E')
	if e.Severity == pgerror.SeverityNotice || e.Severity == pgerror.SeverityWarning {
		typ = 'N'
	}
	var body []byte
	field := func(code byte, value string) {
		value, _, _ = strings.Cut(value, "\x00") // a NUL ends the field on the other side
		if value != "" {
			body = append(append(append(body, code), value...), 0)
		}
	}
	field('S', string(e.Severity))
	field('V', string(e.Severity))
	field('C', string(e.Code))
	field('M', e.Message)
	field('D', e.Detail)
	field('H', e.Hint)
	if e.Position > 0 {
		field('P', strconv.Itoa(e.Position))
	}
	return AppendFrame(b, typ, append(body, 0))
}

// ParseError reads the body of an ErrorResponse or NoticeResponse. Fields it does not know (file, line, routine) are
// left out. The severity is the one that is never localised, where the server sends it. ok is false when the body is
// not a field list.
func ParseError(body []byte) (e *pgerror.Error, ok bool) {
	e = &pgerror.Error{}
	for len(body) > 0 {
		code := body[0]
		if code == 0 {
			return e, e.Code != ""
		}
		end := 1
		for end < len(body) && body[end] != 0 {
			end++
		}
		if end == len(body) {
			return e, false
		}
		setField(e, code, string(body[1:end]))
		body = body[end+1:]
	}
	return e, false
}

func setField(e *pgerror.Error, code byte, value string) {
	switch code {
	case 'S':
		if e.Severity == "" {
			e.Severity = pgerror.Severity(value)
		}
	case 'V':
		e.Severity = pgerror.Severity(value)
	case 'C':
		e.Code = pgerror.Code(value)
	case 'M':
		e.Message = value
	case 'D':
		e.Detail = value
	case 'H':
		e.Hint = value
	case 'P':
		e.Position, _ = strconv.Atoi(value)
	}
}
