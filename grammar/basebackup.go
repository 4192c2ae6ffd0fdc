package grammar

import (
	"strings"

	"github.com/replproxy/replproxy/grammar/pgerror"
)

// The limits of MAX_RATE in kB/s.
const (
	minMaxRate = 32
	maxMaxRate = 1 << 20
)

// DefaultBaseBackup returns the options of a bare BASE_BACKUP.
func DefaultBaseBackup() *BaseBackup {
	return &BaseBackup{Label: "base backup", Manifest: ManifestNo, ManifestChecksums: "CRC32C"}
}

func (p *parser) baseBackup() (Command, func() *pgerror.Error) {
	var list []option
	switch {
	case !p.v.optionLists():
		list = p.legacyBackupOptions()
	case p.peek() == (token{kind: tokChar, text: "("}):
		list = p.optionList()
	}
	c := DefaultBaseBackup()
	return c, func() *pgerror.Error { return c.setOptions(list, p.v) }
}

// legacyBackupWords are the options of 14, with the kind of value that each takes.
var legacyBackupWords = []struct {
	word  string
	value tokenKind // tokEOF: none
}{
	{"LABEL", tokString}, {"PROGRESS", tokEOF}, {"FAST", tokEOF}, {"WAL", tokEOF}, {"NOWAIT", tokEOF},
	{"MAX_RATE", tokNumber}, {"TABLESPACE_MAP", tokEOF}, {"NOVERIFY_CHECKSUMS", tokEOF},
	{"MANIFEST", tokString}, {"MANIFEST_CHECKSUMS", tokString},
}

func (p *parser) legacyBackupOptions() (list []option) {
next:
	for {
		for _, w := range legacyBackupWords {
			if !p.accept(w.word) {
				continue
			}
			o := option{name: lower(w.word)}
			switch w.value {
			case tokString:
				o.kind, o.text = valueString, p.expect(tokString).text
			case tokNumber:
				o.kind, o.num = valueInt, int32(p.expect(tokNumber).num)
			}
			list = append(list, o)
			continue next
		}
		return list
	}
}

// backupOption checks and stores one option of BASE_BACKUP.
type backupOption struct {
	since, until int  // majors; 0: unlimited
	valueFirst   bool // a missing value is reported before a repetition
	set          func(*BaseBackup, option) *pgerror.Error
}

// backupOptions are the options of option lists and, under the same names, the words of 14.
var backupOptions = map[string]backupOption{
	"label":              {set: func(b *BaseBackup, o option) *pgerror.Error { return setString(&b.Label, o) }},
	"progress":           {set: func(b *BaseBackup, o option) *pgerror.Error { return setBool(&b.Progress, o) }},
	"wal":                {set: func(b *BaseBackup, o option) *pgerror.Error { return setBool(&b.WAL, o) }},
	"tablespace_map":     {set: func(b *BaseBackup, o option) *pgerror.Error { return setBool(&b.TablespaceMap, o) }},
	"max_rate":           {set: (*BaseBackup).setMaxRate},
	"manifest":           {valueFirst: true, set: (*BaseBackup).setManifest},
	"manifest_checksums": {valueFirst: true, set: (*BaseBackup).setManifestChecksums},

	"fast":   {until: 14, set: func(b *BaseBackup, o option) *pgerror.Error { return setBool(&b.FastCheckpoint, o) }},
	"nowait": {until: 14, set: func(b *BaseBackup, o option) *pgerror.Error { return setBool(&b.NoWait, o) }},
	"noverify_checksums": {until: 14, set: func(b *BaseBackup, o option) *pgerror.Error {
		return setBool(&b.NoVerifyChecksums, o)
	}},

	"checkpoint": {since: 15, valueFirst: true, set: (*BaseBackup).setCheckpoint},
	"wait":       {since: 15, set: func(b *BaseBackup, o option) *pgerror.Error { return setNot(&b.NoWait, o) }},
	"verify_checksums": {since: 15, set: func(b *BaseBackup, o option) *pgerror.Error {
		return setNot(&b.NoVerifyChecksums, o)
	}},
	"incremental": {since: 17, set: func(b *BaseBackup, o option) *pgerror.Error {
		return setBool(&b.Incremental, o)
	}},
	"target": {since: 15, set: func(b *BaseBackup, o option) *pgerror.Error { return setPtr(&b.Target, o) }},
	"target_detail": {since: 15, valueFirst: true, set: func(b *BaseBackup, o option) *pgerror.Error {
		return setPtr(&b.TargetDetail, o)
	}},
	"compression": {since: 15, valueFirst: true, set: (*BaseBackup).setCompression},
	"compression_detail": {since: 15, set: func(b *BaseBackup, o option) *pgerror.Error {
		return setPtr(&b.CompressionDetail, o)
	}},
}

// setOptions applies the list in order, then looks at what does not go together. The refusal is that of a server of
// version v.
func (c *BaseBackup) setOptions(list []option, v Version) *pgerror.Error {
	given := map[string]bool{}
	for _, o := range list {
		rule, known := backupOptions[o.name]
		major := max(v.Major(), 14)
		if !known || major < rule.since || rule.until != 0 && major > rule.until {
			return syntaxf("unrecognized base backup option: \"%s\"", o.name)
		}
		if rule.valueFirst {
			if _, err := o.str(); err != nil {
				return err
			}
		}
		if given[o.name] {
			return syntaxf("duplicate option \"%s\"", o.name)
		}
		given[o.name] = true
		if err := rule.set(c, o); err != nil {
			return err
		}
	}
	if c.Manifest == ManifestNo {
		if given["manifest_checksums"] {
			return syntaxf("manifest checksums require a backup manifest")
		}
		c.ManifestChecksums = "NONE"
	}
	if err := c.checkTarget(); err != nil {
		return err
	}
	return c.checkCompression(v)
}

func (c *BaseBackup) checkTarget() *pgerror.Error {
	switch {
	case c.Target == nil && c.TargetDetail != nil:
		return syntaxf("target detail cannot be used without target")
	case c.Target == nil:
	case (*c.Target == "client" || *c.Target == "blackhole") && c.TargetDetail != nil:
		return syntaxf("target \"%s\" does not accept a target detail", *c.Target)
	case *c.Target == "server" && c.TargetDetail == nil:
		return syntaxf("target \"%s\" requires a target detail", *c.Target)
	}
	return nil
}

func (c *BaseBackup) setCheckpoint(o option) *pgerror.Error {
	s, err := o.str()
	switch kind := lower(s); {
	case err != nil:
		return err
	case kind != "fast" && kind != "spread":
		return syntaxf("unrecognized checkpoint type: \"%s\"", s)
	default:
		c.FastCheckpoint = kind == "fast"
		return nil
	}
}

func (c *BaseBackup) setMaxRate(o option) *pgerror.Error {
	n, err := o.number()
	if err != nil {
		return err
	}
	if n < minMaxRate || n > maxMaxRate {
		return pgerror.New("22003", "%d is outside the valid range for parameter \"%s\" (%d .. %d)",
			n, "MAX_RATE", minMaxRate, maxMaxRate)
	}
	c.MaxRate = uint32(n)
	return nil
}

func (c *BaseBackup) setManifest(o option) *pgerror.Error {
	s, err := o.str()
	if err != nil {
		return err
	}
	on, isBool := parseBool(s)
	switch {
	case isBool && on:
		c.Manifest = ManifestYes
	case isBool:
		c.Manifest = ManifestNo
	case lower(s) == string(ManifestForceEncode):
		c.Manifest = ManifestForceEncode
	default:
		return syntaxf("unrecognized manifest option: \"%s\"", s)
	}
	return nil
}

func (c *BaseBackup) setManifestChecksums(o option) *pgerror.Error {
	s, err := o.str()
	if err != nil {
		return err
	}
	switch kind := strings.ToUpper(lower(s)); kind {
	case "NONE", "CRC32C", "SHA224", "SHA256", "SHA384", "SHA512":
		c.ManifestChecksums = kind
		return nil
	}
	return syntaxf("unrecognized checksum algorithm: \"%s\"", s)
}

// parseBool reads a Boolean as settings do: any unique prefix of true, false, yes, no, on, off, or
// 1 or 0, in either case.
func parseBool(s string) (value, ok bool) {
	s = lower(s)
	prefix := func(word string, least int) bool { return len(s) >= least && strings.HasPrefix(word, s) }
	switch {
	case prefix("true", 1), prefix("yes", 1), s == "on", s == "1":
		return true, true
	case prefix("false", 1), prefix("no", 1), prefix("off", 2), s == "0":
		return false, true
	}
	return false, false
}

func setString(field *string, o option) (err *pgerror.Error) {
	*field, err = o.str()
	return err
}

func setPtr(field **string, o option) *pgerror.Error {
	s, err := o.str()
	*field = &s
	return err
}

func setBool(field *bool, o option) (err *pgerror.Error) {
	*field, err = o.boolean()
	return err
}

func setNot(field *bool, o option) *pgerror.Error {
	on, err := o.boolean()
	*field = !on
	return err
}
