package corpus

import (
	"errors"
	"strings"

	"github.com/replproxy/replproxy/grammar"
	"github.com/replproxy/replproxy/grammar/pgerror"
	"github.com/replproxy/replproxy/grammar/syncrep"
)

// Outcomes without a message.
const (
	Accepted = "accepted"
	// Build means that the server was built without what the text asks for.
	Build = "build"
)

// Outcome returns one line: the notices in their order, then the error, or Accepted for nil.
func Outcome(notices []*pgerror.Error, err *pgerror.Error) string {
	var parts []string
	for _, n := range notices {
		parts = append(parts, "notice "+describe(n))
	}
	if err == nil {
		return strings.Join(append(parts, Accepted), " | ")
	}
	return strings.Join(append(parts, "error "+describe(err)), " | ")
}

func describe(e *pgerror.Error) string {
	s := string(e.Code) + " " + Escape(e.Message)
	if e.Detail != "" {
		s += " DETAIL " + Escape(e.Detail)
	}
	if e.Hint != "" {
		s += " HINT " + Escape(e.Hint)
	}
	return s
}

// Command returns the parser's outcome for a replication command. A physical CREATE_REPLICATION_SLOT is asked for its
// name too, because the server looks at that before it looks at any state.
func Command(d grammar.Dialect, text string) string {
	c, notices, err := d.Parse(text)
	if slot, ok := c.(*grammar.CreateSlot); ok && err == nil && !slot.Logical {
		err = grammar.ValidateSlotName(slot.Name)
	}
	if errors.Is(err, grammar.ErrSQL) {
		err = nil
	}
	return Outcome(notices, pgerror.From(err))
}

// Rule returns the parser's outcome for a value of synchronous_standby_names.
func Rule(text string) string {
	_, err := syncrep.Parse(text)
	return Outcome(nil, pgerror.From(err))
}
