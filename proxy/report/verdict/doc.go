// Package verdict judges a proxy and its cluster in one sentence, for whoever looks first: is it well, and if not,
// since when, why, and what is to be done.
//
//	admin.Status, with its warnings by grade ──► candidates, the worst first ──► admin.Verdict
//	                   Past: the state before, and where each voter was seen last ──┘
//
// It is pure: the document has the time. A single document does not say when a voter that is away was there; Past is
// carried from one document to the next for that.
//
// Invariant: every surface shows the same words, those of admin.Verdict.Text.
package verdict
