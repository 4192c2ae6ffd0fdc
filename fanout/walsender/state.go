package walsender

// State has the values that pg_stat_replication.state shows of a walsender. It only moves downward in this list.
type State uint8

// The states (facts E8); a proxy never takes backups itself, so "backup" is missing.
const (
	Startup   State = iota // before CopyBothResponse
	Catchup                // behind the horizon since it began
	Streaming              // has reached the horizon once
	Stopping               // the proxy drains: sends what is left, then ends
)

// String returns PostgreSQL's word.
func (s State) String() string {
	switch s {
	case Startup:
		return "startup"
	case Catchup:
		return "catchup"
	case Streaming:
		return "streaming"
	case Stopping:
		return "stopping"
	}
	return "unknown"
}

// MarshalText writes the word, for JSON.
func (s State) MarshalText() ([]byte, error) { return []byte(s.String()), nil }
