package roles

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/replproxy/replproxy/handshake/scramauth"
	"github.com/replproxy/replproxy/handshake/upstream"
)

const (
	// maxName is NAMEDATALEN-1.
	maxName = 63
	// statementTimeout bounds the query on the primary, askTimeout all of a question, log-in included.
	statementTimeout = "5s"
	askTimeout       = 8 * time.Second
)

// params returns the settings of the connection besides those of each SQL session of ours ([upstream.Config.Connect]).
// With them names in the query mean the same everywhere, and a time has one form.
func params() map[string]string {
	return map[string]string{
		"application_name": "replproxy auth", "statement_timeout": statementTimeout, "options": "",
	}
}

// errAnswer is an answer that auth.query must not give.
var errAnswer = errors.New("unusable answer")

// columns lists the columns that the query has to return.
var columns = []string{"rolpassword", "rolcanlogin", "rolreplication", "rolsuper", "rolvaliduntil"}

// ask runs the query for one name. known false: the query has no row for it. It blocks until the answer or the end of
// ctx.
func ask(ctx context.Context, conn *upstream.Session, query, name string) (r Role, known bool, err error) {
	res, err := conn.QueryBound(ctx, query, name)
	if err != nil {
		return r, false, err
	}
	if len(res) != 1 {
		return r, false, fmt.Errorf("%w: not one statement that returns rows", errAnswer)
	}
	return roleOf(name, res[0])
}

// roleOf reads the answer, by the names of its columns. known false: it has no row. errAnswer: a column is missing,
// there are several rows, or a value cannot be read.
func roleOf(name string, res upstream.Result) (r Role, known bool, err error) {
	at := map[string]int{}
	for i, c := range res.Columns {
		at[c] = i
	}
	for _, c := range columns {
		if _, ok := at[c]; !ok {
			return r, false, fmt.Errorf("%w: no column %s; it has to return %s",
				errAnswer, c, strings.Join(columns, ", "))
		}
	}
	if len(res.Rows) == 0 {
		return r, false, nil
	}
	row := res.Rows[0]
	if len(res.Rows) > 1 || len(row) != len(res.Columns) {
		return r, false, fmt.Errorf("%w: %d rows for one role", errAnswer, len(res.Rows))
	}
	r.Name = name
	if secret := row[at["rolpassword"]]; len(secret) > scramauth.MaxVerifier {
		return r, false, fmt.Errorf("%w: rolpassword is too long", errAnswer)
	} else {
		r.Secret = Secret(secret)
	}
	for c, to := range map[string]*bool{
		"rolcanlogin": &r.Login, "rolreplication": &r.Replication, "rolsuper": &r.Superuser,
	} {
		switch string(row[at[c]]) {
		case "t":
			*to = true
		case "f":
		default:
			return r, false, fmt.Errorf("%w: no boolean in column %s", errAnswer, c)
		}
	}
	if until := row[at["rolvaliduntil"]]; until != nil {
		if r.ValidUntil, err = parseTime(string(until)); err != nil {
			return r, false, err
		}
	}
	return r, true, nil
}

// ended is a time that is over for every clock.
var ended = time.Unix(1, 0).UTC()

// parseTime reads a timestamptz in ISO form and UTC. The zero time is infinity. A time before the zero of clocks is
// ended. errAnswer: it is none.
func parseTime(text string) (time.Time, error) {
	year, _, _ := strings.Cut(text, "-")
	n, err := strconv.Atoi(year)
	switch {
	case text == "infinity" || err == nil && n > 9999:
		return time.Time{}, nil
	case text == "-infinity" || strings.HasSuffix(text, " BC"):
		return ended, nil
	}
	t, err := time.Parse("2006-01-02 15:04:05.999999-07", text)
	switch {
	case err != nil:
		return t, fmt.Errorf("%w: no timestamptz in column rolvaliduntil", errAnswer)
	case t.Before(ended):
		return ended, nil
	}
	return t.UTC(), nil
}

// Try asks query for the role that c itself logs in as: an error says why it is of no use.
func Try(ctx context.Context, c *upstream.Config, query string) error {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	conn, err := c.Connect(ctx, params())
	if err != nil {
		return err
	}
	defer conn.Close()
	_, known, err := ask(ctx, conn, query, c.User())
	if err == nil && !known {
		err = fmt.Errorf("%w: no row for role %q", errAnswer, c.User())
	}
	return err
}
