package grammar

import "strconv"

// Version is a server's server_version_num: 150018 is 15.18. Releases before 14 are read as 14.0,
// releases after 18 as the newest that is known.
type Version int

// Major returns the release without its minor number.
func (v Version) Major() int { return int(v) / 10000 }

// Minor returns the minor release.
func (v Version) Minor() int { return int(v) % 10000 }

// String prints major.minor.
func (v Version) String() string {
	return strconv.Itoa(v.Major()) + "." + strconv.Itoa(v.Minor())
}

// doubledQuotes reports whether "" inside a quoted identifier is one quote. The rule came with the
// minor releases of August 2026 (facts B2); before them the identifier ends there.
func (v Version) doubledQuotes() bool {
	since := map[int]int{14: 24, 15: 19, 16: 15, 17: 11, 18: 6}
	minor, known := since[v.Major()]
	if !known {
		return v.Major() > 18
	}
	return v.Minor() >= minor
}

// verticalTab reports whether \v is blank.
func (v Version) verticalTab() bool { return v.Major() >= 17 }

// optionLists reports whether parenthesised option lists exist; without them BASE_BACKUP has
// keywords of its own.
func (v Version) optionLists() bool { return v.Major() >= 15 }

// failover reports whether logical slots have the failover property.
func (v Version) failover() bool { return v.Major() >= 17 }

// alterTwoPhase reports whether ALTER_REPLICATION_SLOT can change two_phase.
func (v Version) alterTwoPhase() bool { return v.Major() >= 18 }

// incremental reports whether BASE_BACKUP can be incremental.
func (v Version) incremental() bool { return v.Major() >= 17 }
