package relay

import (
	"errors"
	"math/rand/v2"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/replproxy/replproxy/conformance/corpus"
	"github.com/replproxy/replproxy/conformance/pgtest"
	"github.com/replproxy/replproxy/conformance/scene"
	"github.com/replproxy/replproxy/grammar"
)

// randomTexts is the number of texts of each language about which a server is asked in an ordinary run.
const randomTexts = 300

// TestDifferentialRandom asks servers of every major about texts that nobody thought of: random tokens, and
// texts of the corpora cut up and put together anew.
func TestDifferentialRandom(t *testing.T) {
	all := differentials(t)
	check := func(t *testing.T, in *pgtest.Install) {
		s := in.Primary(t, pgtest.Settings(askedSettings(in)...))
		for _, d := range all {
			t.Run(d.name, func(t *testing.T) {
				rng := scene.Random(t)
				a := &asker{t: t, server: s, params: d.params}
				defer a.hangUp()
				until := time.Now().Add(scene.SoakTime(t))
				for n := 0; n < randomTexts || time.Now().Before(until); n++ {
					d.askRandom(t, a, randomText(rng, &d))
				}
			})
		}
	}
	pgtest.ForEachMajor(t, check)
	t.Run("pg15npm", func(t *testing.T) { check(t, pgtest.NeedNPM15(t)) })
}

func (d differential) askRandom(t *testing.T, a *asker, text string) {
	dialect := grammar.Dialect{Version: grammar.Version(a.server.Install.VersionNum), Database: d.name == "database"}
	if _, _, err := dialect.Parse(text); d.name == "database" && errors.Is(err, grammar.ErrSQL) {
		return // SQL has notices of its own about the same text
	}
	live, err := d.ask(a, text)
	if err != nil {
		t.Errorf("%q: %v", text, err)
		a.hangUp()
		return
	}
	if parsed := d.parser(grammar.Version(a.server.Install.VersionNum), text); live != corpus.Build && parsed != live {
		t.Errorf("%s\n  live   %s\n  parser %s", corpus.Escape(text), live, parsed)
	}
}

// replicationWords and ruleWords are the vocabulary of random texts. No few of them change a server.
var replicationWords = strings.Fields(`IDENTIFY_SYSTEM BASE_BACKUP START_REPLICATION CREATE_REPLICATION_SLOT
	DROP_REPLICATION_SLOT TIMELINE_HISTORY SHOW READ_REPLICATION_SLOT ALTER_REPLICATION_SLOT UPLOAD_MANIFEST
	TIMELINE PHYSICAL LOGICAL SLOT TEMPORARY WAIT RESERVE_WAL EXPORT_SNAPSHOT NOEXPORT_SNAPSHOT USE_SNAPSHOT
	TWO_PHASE LABEL PROGRESS FAST WAL NOWAIT MAX_RATE TABLESPACE_MAP NOVERIFY_CHECKSUMS MANIFEST
	MANIFEST_CHECKSUMS failover two_phase snapshot reserve_wal label progress checkpoint wait wal max_rate
	verify_checksums manifest manifest_checksums target compression compression_detail incremental
	'fast' 'spread' 'export' 'nothing' 'use' 'gzip' 'lz4' 'none' 'zstd' 'level=1' 'workers=2,long' 'client' 'yes' 'no'
	'force-encode' 'sha256' true false on off 0 1 2 32 1048577 4294967295 4294967296 18446744073709551616 -1 0x10 1e5
	0/0 0/1 FFFFFFFF/FFFFFFFF ab/cd a/ /b 1/g 1/2/3 ABCDEF0123456789/1 ( ) , ; . = * + - / \ -- /* */ " ' "" '' "x" 'x'
	"a""b" 'a''b' U&"d\0061t" E'\n' N'x' X'1f' $1 $$x$$ a b_1 x$y é ÿ foo.bar identify_system Show`)

var ruleWords = strings.Fields(`FIRST ANY first any 1 2 0 01 -1 +1 99999999999 2147483648 ( ) , * "*" a b s1 "a" "a""b"
	"A b" " _x x$ 1a é . ; ' ''`)

var blanks = []string{"", "", " ", " ", " ", " ", " ", "\t", "\n", "\r", "\f", "\v", "  ", " "}

// randomText is a few words, or a text of the corpus with one to three changes.
func randomText(rng *rand.Rand, d *differential) string {
	words := replicationWords
	if d.name == "synchronous_standby_names" {
		words = ruleWords
	}
	text := ""
	if rng.IntN(3) == 0 {
		var b strings.Builder
		for range 1 + rng.IntN(8) {
			b.WriteString(pick(rng, words) + pick(rng, blanks))
		}
		text = b.String()
	} else {
		text = pick(rng, d.texts)
		for range 1 + rng.IntN(3) {
			text = mutate(rng, text, pick(rng, d.texts), words)
		}
	}
	text = strings.ReplaceAll(text, "\x00", "")
	if d.name != "physical" { // where there is a database the server refuses other bytes before it reads them
		text = strings.ToValidUTF8(text, "")
	}
	if len(text) > 2000 {
		text = text[:2000]
	}
	return text
}

// mutate changes one thing: a word in, out or replaced, two halves joined, a byte, a case, a repetition.
func mutate(rng *rand.Rand, text, other string, words []string) string {
	at := rng.IntN(len(text) + 1)
	parts := strings.Fields(text)
	switch rng.IntN(9) {
	case 0:
		return text[:at] + pick(rng, blanks) + pick(rng, words) + pick(rng, blanks) + text[at:]
	case 1:
		return text[:at] + other[rng.IntN(len(other)+1):]
	case 2:
		return text[:at] + string([]byte{byte(rng.IntN(256))}) + text[at:]
	case 3:
		return text[:at] + text[min(len(text), at+1+rng.IntN(3)):]
	case 4:
		if len(parts) > 0 {
			i := rng.IntN(len(parts))
			parts[i] = pick(rng, words)
		}
	case 5:
		if len(parts) > 1 {
			i, j := rng.IntN(len(parts)), rng.IntN(len(parts))
			parts[i], parts[j] = parts[j], parts[i]
		}
	case 6:
		if len(parts) > 0 {
			i := rng.IntN(len(parts))
			parts[i] = strings.ToLower(parts[i])
		}
	case 7:
		if len(parts) > 0 {
			i := rng.IntN(len(parts))
			parts[i] = strings.Repeat(parts[i], 1+rng.IntN(70/min(70, len(parts[i]))+1))
		}
	default:
		return text[:at] + strconv.FormatUint(rng.Uint64()>>rng.IntN(64), 10) + text[at:]
	}
	return strings.Join(parts, pick(rng, blanks[2:]))
}

func pick[T any](rng *rand.Rand, list []T) T { return list[rng.IntN(len(list))] }
