package physical

import (
	"math/rand/v2"
	"strings"
	"testing"
)

// backend handles messages as PostgreSQL's walsender on a database does, as far as it matters here. What it says is
// heard later.
type backend struct {
	at       stand // standReady, standCopyIn, standCopyBoth or standSkipping
	over     bool
	said     []byte // types of its messages that nobody has heard
	executed int    // replication commands that had to be answered elsewhere
}

// The bodies of a Query.
const (
	sqlText = iota
	copyInText
	streamText
	ours // a command that must not be executed there
)

func (b *backend) take(typ byte, text int) {
	say := func(types string) { b.said = append(b.said, types...) }
	switch {
	case b.over:
	case typ == 'X':
		b.over = true
	case b.at == standCopyIn && strings.IndexByte("dHS", typ) >= 0, b.at == standCopyBoth && typ == 'd':
	case b.at == standCopyIn && (typ == 'c' || typ == 'f'), b.at == standCopyBoth && typ == 'c':
		b.at = standReady
		say("CZ")
	case b.at == standCopyIn || b.at == standCopyBoth:
		b.over = true
		say("E")
	case typ == 'S':
		b.at = standReady
		say("Z")
	case b.at == standSkipping:
	case strings.IndexByte("PBEDC", typ) >= 0:
		b.at = standSkipping
		say("E")
	case typ == 'F':
		say("EZ")
	case typ != 'Q':
	case text == copyInText:
		b.at = standCopyIn
		say("G")
	case text == streamText:
		b.at = standCopyBoth
		say("W")
	case text == ours:
		b.executed++
	case text < 0:
		say("IZ")
	default:
		say("CZ")
	}
}

// fail ends COPY by an error, at any time.
func (b *backend) fail() {
	if b.at == standCopyIn || b.at == standCopyBoth {
		b.at = standReady
		b.said = append(b.said, "EZ"...)
	}
}

// TestTalk: the client pipelines anything, and COPY fails at any time. Nothing that is to be answered here reaches a
// backend that would execute it. It is answered here when nothing else is owed, and all gets its turn.
func TestTalk(t *testing.T) {
	for seed := range uint64(20_000) {
		rng := rand.New(rand.NewPCG(seed, 1))
		b, k := &backend{}, newTalk()
		hear := func() {
			typ := b.said[0]
			b.said = b.said[1:]
			k.ours(typ)
			k.hear(typ, 'I')
		}
		for range 30 {
			typ, text := "QQQQQdcfSSHFPBX"[rng.IntN(15)], rng.IntN(4)
			for tries := 0; ; tries++ {
				if rng.IntN(4) == 0 {
					b.fail()
				}
				if len(b.said) > 0 && rng.IntN(2) == 0 {
					hear()
				}
				v := k.say(typ, 0)
				if v == probe {
					k.probed()
					b.take('Q', -1)
				}
				if v == wait && len(b.said) == 0 && b.over {
					break
				}
				if v == wait && len(b.said) == 0 && tries > 100 {
					t.Fatalf("seed %d: %c waits for ever: %+v, %+v", seed, typ, k, b)
				}
				if v == wait || v == probe {
					continue
				}
				if v == execute && text == ours {
					if b.at != standReady || len(b.said) > 0 {
						t.Fatalf("seed %d: answered too early: %+v, %+v", seed, k, b)
					}
				} else if v == execute {
					k.run()
				}
				if v != drop && (v != execute || text != ours) {
					b.take(typ, text)
				}
				break
			}
			if b.over {
				break
			}
		}
		if b.executed > 0 {
			t.Fatalf("seed %d: the backend executed what is answered here", seed)
		}
	}
}
