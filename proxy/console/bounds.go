package console

import (
	"github.com/replproxy/replproxy/grammar/pgerror"
	"github.com/replproxy/replproxy/proxy/console/datum"
)

// A session keeps and does no more than so much for its client, who is trusted to look but not with memory. What a
// statement may cost is bounded in package sql.
const (
	// MaxMessage bounds the body of a message. Statements of tools have a few kB.
	MaxMessage = 64 << 10
	// maxQueries bounds the statements of one Query. Tools send a handful.
	maxQueries = 100
	// maxAnswer bounds the answer to one message, and the rows that portals keep: it is made whole before it is sent.
	// A session is a row of some 300 bytes in pg_stat_activity, so this holds 50,000.
	maxAnswer = 16 << 20
	// maxStatements and maxPortals bound what is prepared and open. Drivers keep a hundred statements.
	maxStatements = 1000
	maxPortals    = 100
	// maxSource bounds the text of prepared statements: what is made of it takes some hundred times as much.
	maxSource = 1 << 20
	// maxSavepoints bounds how deep drivers nest transactions.
	maxSavepoints = 100
	// maxSettings bounds the settings: PostgreSQL's that drivers set, and names with a dot that clients make up.
	maxSettings = 100
	// rowHeader and cellHeader are about what a row and a value take beside their bytes.
	rowHeader, cellHeader = 32, 16
)

// errAnswer returns the error of an answer that is too long.
func errAnswer() error {
	return pgerror.New(pgerror.ProgramLimitExceeded, "the answer has more than %d bytes", maxAnswer).
		WithHint("Ask for fewer columns or rows.")
}

// fit returns an error when rows take more than an answer may.
func fit(rows [][]datum.Value) error {
	n := 0
	for _, row := range rows {
		n += rowHeader
		for _, v := range row {
			n += cellHeader
			if text, ok := v.(string); ok {
				n += len(text)
			}
		}
		if n > maxAnswer {
			return errAnswer()
		}
	}
	return nil
}

// room returns an error when prepared statements would have too much text with one more of so many bytes.
func (s *Session) room(source int) error {
	if len(s.statements) >= maxStatements {
		return pgerror.New(pgerror.ProgramLimitExceeded, "too many prepared statements")
	}
	for _, p := range s.statements {
		source += p.source
	}
	if source > maxSource {
		return pgerror.New(pgerror.ProgramLimitExceeded, "prepared statements have more than %d bytes", maxSource).
			WithHint("Close those that are not needed.")
	}
	return nil
}
