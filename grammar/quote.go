package grammar

import (
	"strings"

	"github.com/replproxy/replproxy/grammar/pgerror"
)

// QuoteIdent writes name so that the scanner reads it back unchanged: plain where that is possible,
// else in double quotes. A double quote inside is doubled, which servers before August 2026 do not
// read (facts B2); no valid slot name needs it.
func QuoteIdent(name string) string {
	if plainIdent(name) {
		return name
	}
	return `"` + strings.ReplaceAll(name, `"`, `""`) + `"`
}

// QuoteLiteral writes a string literal of the replication language. Backslashes are ordinary.
func QuoteLiteral(s string) string { return "'" + strings.ReplaceAll(s, "'", "''") + "'" }

// plainIdent reports whether name needs no quotes. A name of lower-case letters is never a keyword,
// but followed by a slash it could become the first half of an LSN; nothing renders a slash there.
func plainIdent(name string) bool {
	if name == "" || !isIdentStart(name[0]) {
		return false
	}
	for i := 0; i < len(name); i++ {
		if c := name[i]; !isIdentCont(c) || 'A' <= c && c <= 'Z' || c >= 0x80 {
			return false
		}
	}
	return true
}

// ValidateSlotName refuses a name that no slot can have, with 42602 or 42622 (facts G). PostgreSQL asks this when it
// creates a slot; everywhere else such a name is one that does not exist.
func ValidateSlotName(name string) error {
	switch {
	case name == "":
		return pgerror.New(pgerror.InvalidName, "replication slot name \"%s\" is too short", name)
	case len(name) > maxIdentifier:
		return pgerror.New(pgerror.NameTooLong, "replication slot name \"%s\" is too long", name)
	}
	for i := 0; i < len(name); i++ {
		if c := name[i]; !('a' <= c && c <= 'z' || isDigit(c) || c == '_') {
			return pgerror.New(pgerror.InvalidName,
				"replication slot name \"%s\" contains invalid character", name).
				WithHint("Replication slot names may only contain lower case letters, numbers, " +
					"and the underscore character.")
		}
	}
	return nil
}
