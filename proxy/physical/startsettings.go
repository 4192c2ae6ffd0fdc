package physical

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/replproxy/replproxy/grammar/pgerror"
	"github.com/replproxy/replproxy/handshake"
	"github.com/replproxy/replproxy/handshake/roles"
)

const (
	// maxNameBytes is NAMEDATALEN-1: a longer application_name is cut.
	maxNameBytes = 63
	// askSettings bounds the question to the primary what it makes of a client's settings, the wait for other
	// questions included: the log-in waits for it.
	askSettings = 3 * time.Second
	// askDelay is the time for which nothing is asked after a question that got no answer.
	askDelay = 5 * time.Second
	// maxKnownSettings bounds the answers that are remembered: clients are few kinds of programs. A startup packet has
	// at most 10,000 bytes, most have some hundred.
	maxKnownSettings = 256
)

// applySettings has the session show what the startup packet asks for, as the primary would show it. The error is the
// primary's refusal. Without the primary, what is not known is shown as it was said.
func (s *session) applySettings(v *roles.Verified) ([]*pgerror.Error, *pgerror.Error) {
	var notices []*pgerror.Error
	var foreign []handshake.Param
	name := ""
	settings, misplaced := s.req.Settings()
	for _, p := range settings {
		if strings.EqualFold(p.Name, "application_name") {
			if name = p.Value; len(name) > maxNameBytes {
				name = name[:maxNameBytes] // without a database PostgreSQL counts bytes
				notices = append(notices, pgerror.Notice(pgerror.NameTooLong,
					"identifier \"%s\" will be truncated to \"%s\"", p.Value, name))
			}
			continue
		}
		foreign = append(foreign, p)
	}
	s.parameters["application_name"] = cleanName(name, s.version.Major())
	if len(foreign) == 0 {
		return notices, misplaced
	}
	shown, refusal := s.h.starts.answer(context.Background(), s.h.o.AskPrimary, foreign, s.parameters)
	if refusal != nil && (refusal.Code != pgerror.InsufficientPrivilege || !v.Role.Superuser) {
		return notices, refusal.AsFatal()
	}
	if misplaced != nil {
		return notices, misplaced
	}
	for i, p := range foreign {
		for name := range s.parameters {
			if strings.EqualFold(name, p.Name) {
				s.parameters[name] = p.Value
				if i < len(shown) {
					s.parameters[name] = shown[i]
				}
			}
		}
	}
	return notices, nil
}

// cleanName returns an application_name as the server shows it (facts A8).
func cleanName(name string, major int) string {
	var b []byte
	for i := range len(name) {
		switch c := name[i]; {
		case c >= 32 && c <= 126:
			b = append(b, c)
		case major < 16:
			b = append(b, '?')
		default:
			b = fmt.Appendf(b, "\\x%02x", c)
		}
	}
	return string(b)
}

// settingsAnswers keeps the primary's answers about settings, in its own words. Standbys then come back while it is
// down as they did before, and a crowd that comes back asks once. Make it with newSettingsAnswers.
type settingsAnswers struct {
	asking chan struct{} // holds a token while somebody asks

	mu     sync.Mutex
	known  map[string]settingsAnswer
	silent time.Time // nothing is asked before
}

// settingsAnswer holds the primary's answer about the settings of a startup packet.
type settingsAnswer struct {
	shown   []string // as SHOW would print them, in the order of the settings
	refusal *pgerror.Error
}

func newSettingsAnswers() *settingsAnswers {
	return &settingsAnswers{asking: make(chan struct{}, 1), known: map[string]settingsAnswer{}}
}

// answer returns the shown values of settings, or the refusal, of a primary that shows defaults to others; nothing
// where that is not known and cannot be asked now.
func (k *settingsAnswers) answer(
	ctx context.Context, ask AskPrimary, settings []handshake.Param, defaults map[string]string,
) ([]string, *pgerror.Error) {
	query := settingsQuery(settings, defaults)
	key := defaults["server_version"] + query
	if v, ok := k.find(key); ok || ask == nil {
		return v.shown, v.refusal
	}
	ctx, done := context.WithTimeout(ctx, askSettings)
	defer done()
	select {
	case k.asking <- struct{}{}:
		defer func() { <-k.asking }()
	case <-ctx.Done():
		return nil, nil
	}
	if v, ok := k.find(key); ok { // by who asked before
		return v.shown, v.refusal
	}
	row, err := ask(ctx, query)
	v := settingsAnswer{refusal: refusalOf(err)}
	skip := len(row) - len(settings)
	if err == nil && skip >= 0 {
		v.shown = row[skip:]
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if v.shown == nil && v.refusal == nil {
		var said *pgerror.Error
		if !errors.As(err, &said) || said.IsFatal() {
			k.silent = time.Now().Add(askDelay)
		}
		return nil, nil
	}
	if len(k.known) >= maxKnownSettings {
		clear(k.known)
	}
	k.known[key] = v
	return v.shown, v.refusal
}

// find returns an answer that is known. true also where none is, with the zero answer, while the primary was silent a
// moment ago and is not to be asked.
func (k *settingsAnswers) find(key string) (settingsAnswer, bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	v, ok := k.known[key]
	return v, ok || time.Now().Before(k.silent)
}

// refusalOf returns an error that says that the settings are no good at the start of any session; nil for others.
func refusalOf(err error) *pgerror.Error {
	var e *pgerror.Error
	if !errors.As(err, &e) || e.IsFatal() {
		return nil
	}
	switch e.Code {
	case pgerror.InvalidParameterValue, pgerror.UndefinedObject, pgerror.InvalidName, pgerror.InsufficientPrivilege:
		return e
	case cantChangeNow:
		if !strings.Contains(e.Message, "after connection start") {
			return e
		}
	}
	return nil
}

// cantChangeNow is the SQLSTATE of a setting that needs another moment, cant_change_runtime_param.
const cantChangeNow pgerror.Code = "55P02"

// settingsQuery returns a query that makes each of the settings for its own length. Its one row has them as SHOW does,
// a column each, in their order. Before them comes DateStyle by defaults, of which a setting may change a part alone:
// the output or the order. Names and values are quoted.
func settingsQuery(settings []handshake.Param, defaults map[string]string) string {
	var b strings.Builder
	b.WriteString("SELECT pg_catalog.set_config('DateStyle', " + literal(defaults["DateStyle"]) + ", true)")
	for _, p := range settings {
		b.WriteString(", pg_catalog.set_config(" + literal(p.Name) + ", " + literal(p.Value) + ", true)")
	}
	return b.String()
}

// literal returns a string of SQL with standard_conforming_strings.
func literal(s string) string { return "'" + strings.ReplaceAll(s, "'", "''") + "'" }
