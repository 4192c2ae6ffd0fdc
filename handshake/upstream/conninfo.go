package upstream

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// settings maps libpq keywords to values.
type settings map[string]string

// parseConninfo returns the settings that text names in either spelling of libpq, keywords or a URI. It adds no
// defaults and reads no environment, and does not check that libpq knows a keyword. Errors name keywords, never values:
// a value in the wrong place may be the password.
func parseConninfo(text string) (settings, error) {
	if strings.IndexByte(text, 0) >= 0 {
		return nil, errors.New("conninfo holds a NUL byte")
	}
	for _, prefix := range []string{"postgresql://", "postgres://"} {
		if rest, ok := strings.CutPrefix(text, prefix); ok {
			return parseURI(rest)
		}
	}
	return parseKeywords(text)
}

const blanks = " \t\n\v\f\r"

func parseKeywords(text string) (settings, error) {
	s := settings{}
	for {
		text = strings.TrimLeft(text, blanks)
		if text == "" {
			return s, nil
		}
		name, rest, found := strings.Cut(text, "=")
		name = strings.TrimRight(name, blanks)
		if !found || name == "" || strings.ContainsAny(name, blanks) {
			return nil, errors.New(`missing "=" after a keyword in the conninfo string`)
		}
		value, rest, err := keywordValue(strings.TrimLeft(rest, blanks))
		if err != nil {
			return nil, fmt.Errorf("value of %s: %w", quoteKeyword(name), err)
		}
		s[name], text = value, rest
	}
}

// keywordValue takes one value off text: bare up to a blank, or quoted; a backslash takes the next
// byte as it is in both.
func keywordValue(text string) (value, rest string, err error) {
	quoted := strings.HasPrefix(text, "'")
	if quoted {
		text = text[1:]
	}
	var b strings.Builder
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case c == '\\':
			if i++; i < len(text) {
				b.WriteByte(text[i])
			}
		case quoted && c == '\'':
			return b.String(), text[i+1:], nil
		case !quoted && strings.IndexByte(blanks, c) >= 0:
			return b.String(), text[i:], nil
		default:
			b.WriteByte(c)
		}
	}
	if quoted {
		return "", "", errors.New("unterminated quoted string")
	}
	return b.String(), "", nil
}

// parseURI reads the part behind postgresql:// of [user[:password]@][host[:port][,...]][/dbname][?keyword=value[&...]].
func parseURI(text string) (settings, error) {
	s := settings{}
	if at := strings.IndexAny(text, "@/"); at >= 0 && text[at] == '@' {
		user, password, _ := strings.Cut(text[:at], ":")
		text = text[at+1:]
		if err := s.setDecoded("user", user); err != nil {
			return nil, err
		}
		if err := s.setDecoded("password", password); err != nil {
			return nil, err
		}
	}
	main, query, _ := strings.Cut(text, "?")
	authority, dbname, _ := strings.Cut(main, "/")
	if err := s.setDecoded("dbname", dbname); err != nil {
		return nil, err
	}
	if err := s.setHosts(authority); err != nil {
		return nil, err
	}
	for pair := range strings.SplitSeq(query, "&") {
		if pair == "" {
			continue
		}
		name, value, found := strings.Cut(pair, "=")
		if !found || name == "" || strings.Contains(value, "=") {
			return nil, errors.New(`a URI query parameter is not of the form keyword=value`)
		}
		name, err := percentDecode(name)
		if err != nil {
			return nil, errors.New("a URI query parameter's name is badly percent-encoded")
		}
		if name == "ssl" && value == "true" {
			name, value = "sslmode", "require"
		}
		delete(s, name)
		if err := s.setDecoded(name, value); err != nil {
			return nil, err
		}
	}
	return s, nil
}

// setHosts splits host[:port],… into the two lists that the keywords host and port take. An IPv6 address is in
// brackets; an empty authority sets nothing.
func (s settings) setHosts(authority string) error {
	if authority == "" {
		return nil
	}
	var hosts, ports []string
	for part := range strings.SplitSeq(authority, ",") {
		host, port := part, ""
		if strings.HasPrefix(part, "[") {
			end := strings.IndexByte(part, ']')
			if end < 2 || end+1 < len(part) && part[end+1] != ':' {
				return errors.New("an IPv6 host address in the URI is not of the form [address]:port")
			}
			host, port = part[1:end], strings.TrimPrefix(part[end+1:], ":")
		} else {
			host, port, _ = strings.Cut(part, ":")
		}
		hosts, ports = append(hosts, host), append(ports, port)
	}
	if err := s.setDecoded("host", strings.Join(hosts, ",")); err != nil {
		return err
	}
	if list := strings.Join(ports, ","); strings.Trim(list, ",") != "" {
		return s.setDecoded("port", list)
	}
	return nil
}

// setDecoded stores a percent-decoded value; an empty one leaves the default in force.
func (s settings) setDecoded(name, raw string) error {
	value, err := percentDecode(raw)
	if err != nil {
		return fmt.Errorf("value of %s: bad percent-encoding", quoteKeyword(name))
	}
	if value != "" {
		s[name] = value
	}
	return nil
}

func percentDecode(raw string) (string, error) {
	var b strings.Builder
	for i := 0; i < len(raw); i++ {
		if raw[i] != '%' {
			b.WriteByte(raw[i])
			continue
		}
		if i+2 >= len(raw) {
			return "", strconv.ErrSyntax
		}
		c, err := strconv.ParseUint(raw[i+1:i+3], 16, 8)
		if err != nil || c == 0 {
			return "", strconv.ErrSyntax
		}
		b.WriteByte(byte(c))
		i += 2
	}
	return b.String(), nil
}

// quoteKeyword shows a keyword in an error. What is not shaped like one is not shown: it may be a
// piece of a password that holds an "=".
func quoteKeyword(name string) string {
	for i := range len(name) {
		if c := name[i]; (c < 'a' || c > 'z') && c != '_' {
			return "a keyword"
		}
	}
	return strconv.Quote(name)
}

// escape makes a value fit between quotes.
var escape = strings.NewReplacer(`\`, `\\`, `'`, `\'`)

// render returns the keyword form, every value quoted.
func (s settings) render(names []string) string {
	var b strings.Builder
	for _, n := range names {
		if v, ok := s[n]; ok {
			b.WriteString(n + "='" + escape.Replace(v) + "' ")
		}
	}
	return b.String()
}
