package console

import (
	"maps"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgproto3"

	"github.com/replproxy/replproxy/grammar/pgerror"
)

// settings are the session's settings by their names in lower case.
type settings struct {
	now    map[string]string
	start  map[string]string // to which RESET goes back
	before map[string]string // the transaction; nil outside of one
	local  map[string]string // values to which a transaction's end goes back, whatever ends it
}

// reported returns the settings of which the client is told when they change, as PostgreSQL spells them.
func reported() []string {
	return []string{
		"application_name", "client_encoding", "DateStyle", "IntervalStyle", "TimeZone", "standard_conforming_strings",
	}
}

// startSettings returns the settings that a session begins with: those that the client was told, and PostgreSQL's
// defaults for what drivers set.
func startSettings(c Client) settings {
	all := map[string]string{
		"transaction_isolation": "read committed", "default_transaction_isolation": "read committed",
		"transaction_read_only": "on", "default_transaction_read_only": "on", "extra_float_digits": "1",
		"search_path": "\"$user\", public", "client_min_messages": "notice",
		"statement_timeout": "0", "lock_timeout": "0",
		"idle_in_transaction_session_timeout": "0", "idle_session_timeout": "0", "row_security": "on",
		"bytea_output": "hex", "transaction_deferrable": "off", "default_transaction_deferrable": "off",
	}
	for name, value := range c.Parameters {
		all[strings.ToLower(name)] = value
	}
	all["client_encoding"], all["server_encoding"] = "UTF8", "UTF8"
	all["datestyle"], all["intervalstyle"], all["standard_conforming_strings"] = "ISO, MDY", "postgres", "on"
	if zoneNamed(all["timezone"]) == nil {
		all["timezone"] = "UTC"
	}
	return settings{now: all, start: maps.Clone(all)}
}

// Greeting tells the client which settings are other ones here than it was told at the log-in. The primary takes it for
// a walsender, which has no database and so the encoding SQL_ASCII.
func (s *Session) Greeting() []byte {
	s.out = nil
	for _, name := range append(reported(), "server_encoding") {
		if value := s.settings.now[strings.ToLower(name)]; s.client.Parameters[name] != value && value != "" {
			s.say(&pgproto3.ParameterStatus{Name: name, Value: value})
		}
	}
	return s.out
}

// setting returns a setting of the session, or of the primary.
func (s *Session) setting(name string) (value string, ok bool) {
	if value, ok = s.settings.now[strings.ToLower(name)]; ok {
		return value, true
	}
	value, ok = s.ofPrimary()[strings.ToLower(name)]
	return value, ok
}

// zone returns the session's time zone; UTC where this system does not know it.
func (s *settings) zone() *time.Location {
	if z := zoneNamed(s.now["timezone"]); z != nil {
		return z
	}
	return time.UTC
}

// zoneNamed returns a time zone; nil for one that is not known.
func zoneNamed(name string) *time.Location {
	for _, utc := range []string{"", "UTC", "Etc/UTC", "GMT", "Etc/GMT", "Zulu", "UCT", "Universal"} {
		if strings.EqualFold(utc, name) {
			return time.UTC
		}
	}
	if name == "Local" || strings.EqualFold(name, "localtime") {
		return nil
	}
	z, err := time.LoadLocation(name)
	if err != nil {
		return nil
	}
	return z
}

// set changes a setting. What would change how values look, and is not had here, is refused.
func (s *Session) set(name, value string, local bool) error {
	key := strings.ToLower(name)
	old, known := s.settings.now[key]
	if !known && !strings.Contains(key, ".") {
		if _, known = s.setting(name); known {
			return pgerror.New(pgerror.FeatureNotSupported,
				"setting parameter \"%s\" is not supported by the console of replproxy", name)
		}
		return pgerror.New(pgerror.UndefinedObject, "unrecognized configuration parameter \"%s\"", name)
	}
	if !known && len(s.settings.now) >= maxSettings {
		return pgerror.New(pgerror.ProgramLimitExceeded, "too many settings")
	}
	taken := value
	switch key {
	case "client_encoding":
		if plain := strings.ReplaceAll(strings.ToUpper(value), "-", ""); plain != "UTF8" && plain != "UNICODE" {
			return refuseValue(name, value)
		}
		taken = "UTF8"
	case "datestyle":
		if style, _, _ := strings.Cut(strings.ToUpper(value), ","); strings.TrimSpace(style) != "ISO" {
			return refuseValue(name, value)
		}
		taken = old
	case "intervalstyle":
		if !strings.EqualFold(value, "postgres") {
			return refuseValue(name, value)
		}
	case "standard_conforming_strings":
		if !strings.EqualFold(value, "on") && !strings.EqualFold(value, "true") {
			return refuseValue(name, value)
		}
		taken = "on"
	case "extra_float_digits":
		if n, err := strconv.Atoi(value); err != nil || n < 1 || n > 3 {
			return refuseValue(name, value)
		}
	case "timezone":
		if zoneNamed(value) == nil {
			return refuseValue(name, value)
		}
	case "server_version", "server_encoding", "integer_datetimes", "is_superuser", "in_hot_standby",
		"session_authorization":
		return refuseValue(name, value)
	}
	if local && s.status == 'I' {
		return nil // PostgreSQL warns, and does nothing
	}
	if local {
		if s.settings.local == nil {
			s.settings.local = map[string]string{}
		}
		if _, has := s.settings.local[key]; !has {
			s.settings.local[key] = old
		}
	} else {
		delete(s.settings.local, key)
	}
	s.change(key, taken)
	return nil
}

func refuseValue(name, value string) error {
	return pgerror.New(pgerror.FeatureNotSupported,
		"the value \"%s\" of parameter \"%s\" is not supported by the console of replproxy", value, name)
}

// change gives a setting its value, and tells the client of one that is reported.
func (s *Session) change(key, value string) {
	if s.settings.now[key] == value {
		return
	}
	s.settings.now[key] = value
	for _, name := range reported() {
		if strings.ToLower(name) == key {
			s.say(&pgproto3.ParameterStatus{Name: name, Value: value})
		}
	}
}

// restore gives settings the values that they had.
func (s *Session) restore(values map[string]string) {
	for key, value := range values {
		s.change(key, value)
	}
}
