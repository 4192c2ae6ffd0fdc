package grammar

import (
	"strconv"
	"strings"
)

// Render writes c as a text that a server of version v reads back as c. Keywords are upper case,
// names are quoted where they must be, options that have their default are left out. What v does
// not know (a failover slot before 17) is left out as well; Parse never makes such a command.
func Render(c Command, v Version) string {
	r := renderer{v: v}
	r.b.WriteString(c.Tag())
	c.render(&r)
	return r.b.String()
}

type renderer struct {
	b    strings.Builder
	v    Version
	list []string // the option list under construction
}

// word appends a blank and s.
func (r *renderer) word(s string) {
	r.b.WriteByte(' ')
	r.b.WriteString(s)
}

// wordIf appends s when on is set.
func (r *renderer) wordIf(on bool, s string) {
	if on {
		r.word(s)
	}
}

// dotted quotes each part of a dotted name by itself, so that parts stay below the identifier limit. A dot inside a
// quoted part means the same as one between two parts.
func (r *renderer) dotted(name string) {
	parts := strings.Split(name, ".")
	for i, p := range parts {
		parts[i] = QuoteIdent(p)
	}
	r.word(strings.Join(parts, "."))
}

// opt adds an option to the list when on is set.
func (r *renderer) opt(on bool, s string) {
	if on {
		r.list = append(r.list, s)
	}
}

func (r *renderer) optString(name string, value *string) {
	if value != nil {
		r.list = append(r.list, name+" "+QuoteLiteral(*value))
	}
}

// flush writes the option list, in parentheses or as legacy words; nothing when it is empty.
func (r *renderer) flush() {
	switch {
	case len(r.list) == 0:
	case r.v.optionLists():
		r.word("(" + strings.Join(r.list, ", ") + ")")
	default:
		r.word(strings.Join(r.list, " "))
	}
	r.list = nil
}

func (*IdentifySystem) render(*renderer) {}

func (*UploadManifest) render(*renderer) {}

func (c *Show) render(r *renderer) { r.dotted(c.Name) }

func (c *ReadSlot) render(r *renderer) { r.dotted(c.Name) }

func (c *TimelineHistory) render(r *renderer) { r.word(c.Timeline.String()) }

func (c *DropSlot) render(r *renderer) {
	r.word(QuoteIdent(c.Name))
	r.wordIf(c.Wait, "WAIT")
}

func (c *CreateSlot) render(r *renderer) {
	r.word(QuoteIdent(c.Name))
	r.wordIf(c.Temporary, "TEMPORARY")
	if c.Logical {
		r.word("LOGICAL " + QuoteIdent(c.Plugin))
	} else {
		r.word("PHYSICAL")
	}
	r.opt(c.ReserveWAL, "RESERVE_WAL")
	switch {
	case !c.Logical || c.Snapshot == SnapshotExport || c.Snapshot == "":
	case r.v.optionLists():
		r.opt(true, "SNAPSHOT "+QuoteLiteral(string(c.Snapshot)))
	case c.Snapshot == SnapshotNothing:
		r.opt(true, "NOEXPORT_SNAPSHOT")
	default:
		r.opt(true, "USE_SNAPSHOT")
	}
	r.opt(c.TwoPhase && r.v.optionLists(), "TWO_PHASE")
	r.opt(c.Failover && r.v.failover(), "FAILOVER")
	r.flush()
}

func (c *AlterSlot) render(r *renderer) {
	r.word(QuoteIdent(c.Name))
	r.opt(c.Failover != Unset, "FAILOVER "+c.Failover.String())
	r.opt(c.TwoPhase != Unset && r.v.alterTwoPhase(), "TWO_PHASE "+c.TwoPhase.String())
	r.flush()
}

// String returns true, false, or empty for Unset.
func (s Setting) String() string { return [...]string{"", "false", "true"}[s%3] }

func (c *StartPhysical) render(r *renderer) {
	if c.WithSlot || c.Slot != "" {
		r.word("SLOT " + QuoteIdent(c.Slot))
	}
	r.word("PHYSICAL " + c.At.String())
	r.wordIf(c.Timeline != 0, "TIMELINE "+c.Timeline.String())
}

func (c *StartLogical) render(r *renderer) {
	r.word("SLOT " + QuoteIdent(c.Slot) + " LOGICAL " + c.At.String())
	for _, o := range c.Options {
		s := QuoteIdent(o.Name)
		if o.HasValue {
			s += " " + QuoteLiteral(o.Value)
		}
		r.list = append(r.list, s)
	}
	if len(r.list) > 0 {
		r.word("(" + strings.Join(r.list, ", ") + ")")
	}
}

func (c *BaseBackup) render(r *renderer) {
	modern := r.v.optionLists()
	r.opt(c.Label != "base backup", "LABEL "+QuoteLiteral(c.Label))
	r.opt(c.Progress, "PROGRESS")
	if modern {
		r.opt(c.FastCheckpoint, "CHECKPOINT 'fast'")
		r.opt(c.NoWait, "WAIT false")
		r.opt(c.NoVerifyChecksums, "VERIFY_CHECKSUMS false")
	} else {
		r.opt(c.FastCheckpoint, "FAST")
		r.opt(c.NoWait, "NOWAIT")
		r.opt(c.NoVerifyChecksums, "NOVERIFY_CHECKSUMS")
	}
	r.opt(c.WAL, "WAL")
	r.opt(c.Incremental && r.v.incremental(), "INCREMENTAL")
	r.opt(c.MaxRate != 0, "MAX_RATE "+strconv.FormatUint(uint64(c.MaxRate), 10))
	r.opt(c.TablespaceMap, "TABLESPACE_MAP")
	if c.Manifest != ManifestNo && c.Manifest != "" {
		r.opt(true, "MANIFEST "+QuoteLiteral(string(c.Manifest)))
		r.opt(c.ManifestChecksums != "CRC32C", "MANIFEST_CHECKSUMS "+QuoteLiteral(c.ManifestChecksums))
	}
	if modern {
		r.optString("TARGET", c.Target)
		r.optString("TARGET_DETAIL", c.TargetDetail)
		r.optString("COMPRESSION", c.Compression)
		r.optString("COMPRESSION_DETAIL", c.CompressionDetail)
	}
	r.flush()
}
