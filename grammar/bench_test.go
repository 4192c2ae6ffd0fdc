package grammar_test

import (
	"strings"
	"testing"

	"github.com/replproxy/replproxy/grammar"
)

// BenchmarkParse reads the commands of a standby's log-in, and the longest that there are.
func BenchmarkParse(b *testing.B) {
	for _, text := range []string{
		"IDENTIFY_SYSTEM",
		"START_REPLICATION SLOT \"standby_1\" 0/3000000 TIMELINE 1",
		"CREATE_REPLICATION_SLOT s1 TEMPORARY PHYSICAL (RESERVE_WAL)",
		"BASE_BACKUP ( LABEL 'pg_basebackup base backup',  PROGRESS,  CHECKPOINT 'fast',  WAIT 0,  MANIFEST 'yes',  TARGET 'client')",
	} {
		b.Run(strings.Fields(text)[0], func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, _, err := grammar.Parse(text, 150000); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
