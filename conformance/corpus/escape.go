package corpus

import (
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"
)

// short are the escapes of one letter.
var short = []struct {
	char byte
	name string
}{{'\n', `\n`}, {'\t', `\t`}, {'\r', `\r`}, {'\f', `\f`}, {'\v', `\v`}, {'\\', `\\`}}

// Escape writes any bytes as one line of text. Blanks at either end are written \s.
func Escape(s string) string {
	var b strings.Builder
next:
	for i := 0; i < len(s); {
		for _, e := range short {
			if s[i] == e.char {
				b.WriteString(e.name)
				i++
				continue next
			}
		}
		r, size := utf8.DecodeRuneInString(s[i:])
		switch {
		case s[i] == ' ' && (i == 0 || i == len(s)-1):
			b.WriteString(`\s`)
		case r == utf8.RuneError && size == 1 || r < ' ' || r == 0x7f:
			fmt.Fprintf(&b, `\x%02x`, s[i])
		default:
			b.WriteString(s[i : i+size])
		}
		i += size
	}
	return b.String()
}

// Unescape returns the inverse of Escape.
func Unescape(line string) (string, error) {
	var b strings.Builder
next:
	for line != "" {
		if line[0] != '\\' {
			b.WriteByte(line[0])
			line = line[1:]
			continue
		}
		for _, e := range short {
			if rest, ok := strings.CutPrefix(line, e.name); ok {
				b.WriteByte(e.char)
				line = rest
				continue next
			}
		}
		if rest, ok := strings.CutPrefix(line, `\s`); ok {
			b.WriteByte(' ')
			line = rest
			continue
		}
		if len(line) < 4 || line[1] != 'x' {
			return "", fmt.Errorf("unknown escape in %q", line)
		}
		n, err := strconv.ParseUint(line[2:4], 16, 8)
		if err != nil {
			return "", fmt.Errorf("unknown escape in %q", line)
		}
		b.WriteByte(byte(n))
		line = line[4:]
	}
	return b.String(), nil
}
