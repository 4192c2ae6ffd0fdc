package config

import (
	"regexp"
	"strings"
)

// secret matches the text before a secret: a word of conninfo or a key of YAML that sounds like one, a URI's user, a
// verifier. What begins like a host and port is none.
var (
	secret = regexp.MustCompile(`(?i)(?:password|passphrase|passwd|pwd|secret|token|key)["']?\s*[=:]\s*` +
		`|://[^:/@\s]*:|SCRAM-SHA-256\$`)
	next = regexp.MustCompile(`^\s*(?:[A-Za-z_]+\s*=|["'}\],#]|$)`) // what may follow a value without quotes
	port = regexp.MustCompile(`^(?:\d{1,5})?(?:[,/?"'\]}\s]|$)`)
)

// Redact masks the secrets in a conninfo, or in a line of a file, however it is quoted. In doubt it masks the rest.
func Redact(line string) string {
	var b strings.Builder
	for line != "" {
		at := secret.FindStringIndex(line)
		if at == nil {
			break
		}
		before, rest := line[:at[1]], line[at[1]:]
		n := extent(before[at[0]:], rest)
		b.WriteString(before)
		if n > 0 {
			b.WriteString("***")
		}
		line = rest[n:]
	}
	return b.String() + line
}

// extent returns the length of the secret part of rest, which follows a match of [secret].
func extent(before, rest string) int {
	switch {
	case strings.HasPrefix(before, "://"):
		if at := strings.LastIndexByte(rest, '@'); at >= 0 {
			return at
		}
		if port.MatchString(rest) {
			return 0
		}
		return len(rest)
	case strings.HasPrefix(before, "SCRAM"):
		return len(rest)
	case rest != "" && (rest[0] == '\'' || rest[0] == '"'):
		return quotedExtent(rest)
	case strings.Contains(before, ":"): // in YAML a text may have blanks
		return len(rest)
	}
	n := strings.IndexAny(rest, " \t&")
	if n < 0 {
		n = len(rest)
	}
	bare := strings.TrimRight(rest[:n], `"'}],`) // the end of what the conninfo stands in
	unclosed := len(bare) == n && n < len(rest) && rest[n] != '&'
	if strings.ContainsAny(bare, `"'\`) || unclosed && !next.MatchString(rest[n:]) {
		return len(rest)
	}
	return len(bare)
}

// quotedExtent returns the length of the quoted text at the start of s, in bytes, with its quotes. If no closing quote
// can be made out, the text takes all of s, so that too much is hidden rather than too little.
func quotedExtent(s string) int {
	for i := 1; i < len(s); i++ {
		switch s[i] {
		case '\\':
			i++
		case s[0]:
			if i+1 == len(s) || strings.IndexByte(" \t&,}]\"'", s[i+1]) >= 0 && s[i+1] != s[0] {
				return i + 1
			}
			return len(s)
		}
	}
	return len(s)
}
