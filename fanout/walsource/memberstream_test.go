package walsource

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"testing"
)

// TestMemberStream: whoever is chosen is streamed from. That such a member does not answer leaves the stream to the
// primary. That the one which streams from it does not is an error: the primary may have one walsender only.
func TestMemberStream(t *testing.T) {
	ended := errors.New("ended")
	for name, c := range map[string]struct {
		on            Rung
		member        string
		chooses, says error
		opened        string
		err           error
	}{
		"a chosen member":           {RungChosen, "b", nil, nil, "b", nil},
		"one that does not answer":  {RungChosen, "b", nil, io.EOF, "b", io.EOF},
		"the primary":               {RungChosen, "", nil, nil, "", nil},
		"nobody was chosen yet":     {RungChosen, "", ended, nil, "", ended},
		"a member has it":           {RungFenced, "b", nil, nil, "b", nil},
		"it does not answer":        {RungFenced, "b", nil, io.EOF, "b", nil},
		"nobody has more than this": {RungFenced, "", nil, nil, "", nil},
	} {
		opened := ""
		m := &MemberStream{
			On: c.on, Logger: slog.New(slog.DiscardHandler),
			Choose: func(context.Context) (string, error) { return c.member, c.chooses },
			Open: func(_ context.Context, member string, _ map[string]string) (Conn, error) {
				opened = member
				if c.says != nil {
					return nil, c.says
				}
				return &directory{}, nil
			},
		}
		s, err := m.Stream(t.Context(), nil)
		if opened != c.opened || !errors.Is(err, c.err) || err != nil && c.err == nil || (s != nil) != (opened != "" && c.says == nil) ||
			m.Chosen() != c.member || m.Rung() != c.on || m.Segments(false) != nil {
			t.Errorf("%s: opened %q, %v, %v", name, opened, s, err)
		}
	}
}
