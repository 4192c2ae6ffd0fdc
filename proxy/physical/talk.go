package physical

import "bytes"

// stand is the state of the primary in its talk with a database walsender, as far as has been heard.
type stand uint8

const (
	// standReady: all that was said has been answered, and the primary waits for a command.
	standReady stand = iota
	// standBusy: an answer is due, up to ReadyForQuery or the beginning of COPY.
	standBusy
	// standCopyIn: the primary takes CopyData for a COPY FROM STDIN or a manifest.
	standCopyIn
	// standCopyBoth: it streams, and takes CopyData.
	standCopyBoth
	// standLeft: a message left COPY that may not. It ends the session, unless COPY had ended by an error before.
	standLeft
	// standSkipping: the primary skips all up to Sync, after a message of the extended protocol.
	standSkipping
)

// action decides on a message of the client.
type action uint8

const (
	passOn  action = iota // goes to the primary as it is
	wait                  // until something else has been heard
	execute               // a Query that the primary, or this proxy, would execute now
	drop                  // the primary would skip it, and must not execute it by mistake
	probe                 // a Query comes where it may be part of COPY or not: see talk.probed
	passEnd               // goes to the primary, and is the last that does
)

// talk follows the exchange of a database walsender and its primary, message by message (facts B1, E6). It knows at
// each message of the client whether the primary would execute it now. It would not before all earlier ones are
// answered, and COPY may end at any time by an error that is still under way. It is pure; its owner locks.
type talk struct {
	at stand
	// status is the transaction status of the last ReadyForQuery.
	status byte
	// left is the type of the message in standLeft.
	left byte
	// stray: Sync was sent within COPY, which ignores it, or after COPY, which answers it. There may be more
	// ReadyForQuery to come than are waited for.
	stray bool
	// asked is an empty Query of our own: its EmptyQueryResponse says that all before it has been answered. heard is
	// that it has come. Neither it nor its ReadyForQuery is for the client.
	asked, heard bool
}

func newTalk() *talk { return &talk{status: 'I'} }

// say judges the client's next message, whose body has size bytes. An action other than wait and probe is taken as
// carried out; execute becomes busy by run.
func (t *talk) say(typ byte, size int) action {
	switch {
	case t.at == standBusy || t.at == standLeft:
		return wait
	case typ == 'X' || !known(typ) || short(typ) && size > maxShort:
		return passEnd
	case t.at == standCopyIn:
		return t.sayInCopyIn(typ)
	case t.at == standCopyBoth:
		return t.sayInCopyBoth(typ)
	case typ == 'S':
		t.at = standBusy
		return passOn
	case t.at == standSkipping:
		if typ == 'Q' {
			return drop
		}
		return passOn
	case typ == 'Q' && t.stray:
		return probe
	case typ == 'Q':
		return execute
	}
	t.ready(typ, size)
	return passOn
}

// ready notes the effect of a message other than Query on a primary that waits for a command.
func (t *talk) ready(typ byte, size int) {
	switch {
	case typ == 'F' || typ == 'S':
		t.at = standBusy
	case bytes.IndexByte([]byte("PBEDC"), typ) >= 0, typ == 'H' && size > 0:
		t.at = standSkipping // refused in a replication connection
	default:
		t.at = standReady // Flush, and what is left over of COPY
	}
}

func (t *talk) sayInCopyIn(typ byte) action {
	switch typ {
	case 'd', 'H':
	case 'c', 'f':
		t.at = standBusy
	case 'S':
		t.stray = true
	case 'Q':
		return probe
	default:
		t.at, t.left = standLeft, typ
	}
	return passOn
}

func (t *talk) sayInCopyBoth(typ byte) action {
	switch typ {
	case 'd':
	case 'c':
		t.at = standBusy
	case 'Q':
		return probe
	default:
		t.at, t.left = standLeft, typ
	}
	return passOn
}

// run notes that the Query which was judged goes to the primary.
func (t *talk) run() { t.at = standBusy }

// probed notes that an empty Query goes to the primary. Within COPY that is the end of the session, as any Query is;
// after it the answer shows that all has been answered.
func (t *talk) probed() { t.at, t.asked = standBusy, true }

// ours reports whether a message of the primary answers our own empty Query.
func (t *talk) ours(typ byte) bool {
	return t.asked && (!t.heard && typ == 'I' || t.heard && typ == 'Z')
}

// hear notes a message of the primary; status is the body of ReadyForQuery.
func (t *talk) hear(typ, status byte) {
	switch typ {
	case 'I':
		t.heard = t.asked
	case 'G':
		t.copying(standCopyIn)
	case 'W':
		t.copying(standCopyBoth)
	case 'Z':
		t.status = status
		switch {
		case t.asked && !t.heard: // of what came before
		case t.asked:
			t.asked, t.heard, t.stray, t.at = false, false, false, standReady
		case t.at == standLeft:
			t.ready(t.left, 0)
		case t.at != standSkipping:
			t.at = standReady
		}
	}
}

// copying notes that the primary has begun a COPY, for the client's command. If a Query of this proxy is on its way,
// that one is waited for instead.
func (t *talk) copying(s stand) {
	if t.at == standBusy && !t.asked {
		t.at = s
	}
}
