package grammar

// Keywords are upper case only: the same letters in any other case are an identifier (facts B1).

// word says in which releases a keyword exists, and what else it may be.
type word struct {
	since, until int  // majors; until 0: still
	command      bool // begins a command
	noOption     bool // cannot name an option of an option list
}

var words = map[string]word{
	"IDENTIFY_SYSTEM":         {command: true},
	"BASE_BACKUP":             {command: true},
	"START_REPLICATION":       {command: true},
	"CREATE_REPLICATION_SLOT": {command: true},
	"DROP_REPLICATION_SLOT":   {command: true},
	"TIMELINE_HISTORY":        {command: true},
	"SHOW":                    {command: true},
	"READ_REPLICATION_SLOT":   {command: true, since: 15, noOption: true},
	"ALTER_REPLICATION_SLOT":  {command: true, since: 17},
	"UPLOAD_MANIFEST":         {command: true, since: 17},

	"TIMELINE":          {},
	"PHYSICAL":          {},
	"LOGICAL":           {},
	"SLOT":              {},
	"TEMPORARY":         {},
	"WAIT":              {},
	"RESERVE_WAL":       {},
	"EXPORT_SNAPSHOT":   {},
	"NOEXPORT_SNAPSHOT": {},
	"USE_SNAPSHOT":      {},
	"TWO_PHASE":         {since: 15},

	// BASE_BACKUP's own words, from the time before option lists.
	"LABEL":              {until: 14},
	"PROGRESS":           {until: 14},
	"FAST":               {until: 14},
	"WAL":                {until: 14},
	"NOWAIT":             {until: 14},
	"MAX_RATE":           {until: 14},
	"TABLESPACE_MAP":     {until: 14},
	"NOVERIFY_CHECKSUMS": {until: 14},
	"MANIFEST":           {until: 14},
	"MANIFEST_CHECKSUMS": {until: 14},
}

func isKeyword(s string, v Version) bool {
	w, ok := words[s]
	if !ok {
		return false
	}
	major := max(v.Major(), 14)
	return major >= w.since && (w.until == 0 || major <= w.until)
}

// isCommandWord reports whether a keyword begins a command.
func isCommandWord(keyword string) bool { return words[keyword].command }
