package trace

import (
	"slices"
	"strings"
)

// Deviation is an answer of the proxy that differs from PostgreSQL's on purpose.
type Deviation struct {
	Trace, Exchange string
	Majors          []int  // empty: all
	Server          string // how PostgreSQL's line begins
	Proxy           string // the proxy's lines instead; "": none
	Why             string
}

func table() []Deviation {
	return []Deviation{
		{
			Trace: "startup", Exchange: "GSS encryption", Majors: []int{15},
			Server: "byte G", Proxy: "byte N",
			Why: "the proxy ends no GSS encryption; of the recorded servers only Debian's 15 is built with it",
		}, {
			Trace: "slots", Exchange: "all slots are in use",
			Server: "E S ERROR | V ERROR | C 53400",
			Proxy: "T slot_name type 25 len -1 mod -1 | consistent_point type 25 len -1 mod -1 | " +
				"snapshot_name type 25 len -1 mod -1 | output_plugin type 25 len -1 mod -1\n" +
				"D \"s\" \"0/0\" NULL NULL\nC CREATE_REPLICATION_SLOT",
			Why: "slots of the proxy are its own, the primary's max_replication_slots does not limit them",
		}, {
			Trace: "slots", Exchange: "all slots are in use",
			Server: "E S ERROR | V ERROR | C 42704", Proxy: "C DROP_REPLICATION_SLOT",
			Why: "because the slot was created",
		},
	}
}

// Deviations holds the deviations of one major version, and which of them were met. Not safe for concurrent use.
type Deviations struct {
	all []Deviation
	met []bool
}

// DeviationsOf returns the intended deviations from a major version of PostgreSQL.
func DeviationsOf(major int) *Deviations {
	d := &Deviations{}
	for _, deviation := range table() {
		if len(deviation.Majors) == 0 || slices.Contains(deviation.Majors, major) {
			d.all = append(d.all, deviation)
		}
	}
	d.met = make([]bool, len(d.all))
	return d
}

// Apply returns the answers of the proxy where PostgreSQL gives these answers, one list of lines per step.
func (d *Deviations) Apply(trace, exchange string, answers [][]string) [][]string {
	out := make([][]string, len(answers))
	for i, lines := range answers {
		for _, line := range lines {
			out[i] = append(out[i], d.line(trace, exchange, line)...)
		}
	}
	return out
}

func (d *Deviations) line(trace, exchange, line string) []string {
	for i, deviation := range d.all {
		if deviation.Trace != trace || deviation.Exchange != exchange || !strings.HasPrefix(line, deviation.Server) {
			continue
		}
		d.met[i] = true
		if deviation.Proxy == "" {
			return nil
		}
		return strings.Split(deviation.Proxy, "\n")
	}
	return []string{line}
}

// Unmet returns the deviations that no answer called for: they are to be taken out of the table.
func (d *Deviations) Unmet() []Deviation {
	var unmet []Deviation
	for i, met := range d.met {
		if !met {
			unmet = append(unmet, d.all[i])
		}
	}
	return unmet
}
