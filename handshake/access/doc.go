// Package access decides who may come in and who verifies him, by rules in the language of pg_hba.conf.
//
//	"hostssl replication repl 10.0.0.0/8 scram-sha-256" ──Parse──► *Rules, or every error with its column
//	who, whence, how, what for (Facts) ──Policy.Decide──► Decision: a method, or PostgreSQL's refusal
//
// The methods are fewer than PostgreSQL's, because the proxy verifies at most SCRAM itself:
//
//	relay           the primary decides, as it does without rules
//	scram-sha-256   this proxy verifies (auth.method: scram)
//	trust           like relay, but the primary need not ask this client anything (ruling R1)
//	reject          nobody
//
// Invariants:
//
//  1. The first rule that matches decides, even when a later one would admit.
//  2. A physical walsender matches the unquoted database replication and nothing else, above all not all;
//     any other connection, a logical walsender too, never matches it (facts A6).
//  3. What PostgreSQL would read otherwise than this package is refused by name, never approximated.
//  4. A refusal has PostgreSQL's SQLSTATE and words.
//
// The decision is a pure function; only [FactsOf] looks at a connection.
package access
