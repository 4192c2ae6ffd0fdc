package pgtest

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"testing"
)

// Where .ci/setup puts things; CacheEnv moves the second.
const (
	debianBin    = "/usr/lib/postgresql/15/bin"
	defaultCache = "/var/tmp/replproxy-pg"

	// CacheEnv is the environment variable that moves the servers' folder, as in .ci/setup.
	CacheEnv = "REPLPROXY_PG_CACHE"

	// MajorEnv is the environment variable that narrows tests for which one version is as good as another
	// to that major version.
	MajorEnv = "REPLPROXY_MAJOR"

	// toolsMajor is the one major version of which there are client programs.
	toolsMajor = 15
)

// Majors returns the major versions that replproxy supports, oldest first.
func Majors() []int { return []int{14, 15, 16, 17, 18} }

// Install is one installed PostgreSQL. It is immutable.
type Install struct {
	Major      int    // 14 to 18
	VersionNum int    // as server_version_num, e.g. 150020
	Version    string // as PostgreSQL prints it, e.g. "15.20"
	Bin        string // folder of postgres and initdb
	label      string // "15", "15npm"
	who        osUser
}

// Need returns the installed PostgreSQL of a major version, 15 being Debian's. It fails the test when
// that version is not installed.
func Need(t testing.TB, major int) *Install {
	t.Helper()
	return need(t, strconv.Itoa(major))
}

// NeedNPM15 returns the 15.18 server from npm, for what differs between 15.18 and Debian's 15.20.
func NeedNPM15(t testing.TB) *Install {
	t.Helper()
	return need(t, "15npm")
}

// Usual returns the servers of one major for a test that needs no more in an ordinary run: 15, or the one that MajorEnv
// says.
func Usual(t testing.TB) *Install {
	t.Helper()
	if major := onlyMajor(t); major != 0 {
		return Need(t, major)
	}
	return Need(t, toolsMajor)
}

// Any returns the servers of a major by chance, for a test that takes any: intN gives a number below its argument.
func Any(t testing.TB, intN func(int) int) *Install {
	t.Helper()
	chosen := Majors()[intN(len(Majors()))] // with MajorEnv as well, so that a seed means the same choices
	if major := onlyMajor(t); major != 0 {
		chosen = major
	}
	return Need(t, chosen)
}

// ForSomeMajors runs a test that could run on all majors, on those that are enough in an ordinary run. With MajorEnv it
// runs on that one, among these or not.
func ForSomeMajors(t *testing.T, f func(t *testing.T, in *Install), majors ...int) {
	t.Helper()
	if major := onlyMajor(t); major != 0 {
		majors = []int{major}
	}
	ForEachMajor(t, f, majors...)
}

// onlyMajor returns the value of MajorEnv, 0 when that is empty.
func onlyMajor(t testing.TB) int {
	t.Helper()
	text := os.Getenv(MajorEnv)
	if text == "" {
		return 0
	}
	major, err := strconv.Atoi(text)
	if err != nil || !slices.Contains(Majors(), major) {
		t.Fatalf("%s: %q is none of %v", MajorEnv, text, Majors())
	}
	return major
}

// ForEachMajor runs f as a subtest, "pg14" to "pg18", for each of the majors given (none: all). With
// MajorEnv it runs f on that one, if it is among them.
func ForEachMajor(t *testing.T, f func(t *testing.T, in *Install), majors ...int) {
	t.Helper()
	if len(majors) == 0 {
		majors = Majors()
	}
	if only := onlyMajor(t); only != 0 {
		majors = slices.DeleteFunc(slices.Clone(majors), func(major int) bool { return major != only })
	}
	for _, major := range majors {
		t.Run("pg"+strconv.Itoa(major), func(t *testing.T) { f(t, Need(t, major)) })
	}
}

func need(t testing.TB, label string) *Install {
	t.Helper()
	bin := debianBin
	if label != strconv.Itoa(toolsMajor) {
		bin = filepath.Join(cacheDir(), label, "bin")
	}
	out, err := exec.Command(filepath.Join(bin, "postgres"), "--version").Output()
	if err != nil {
		t.Fatalf("no PostgreSQL %s in %s (%v): run .ci/setup", label, bin, err)
	}
	m := regexp.MustCompile(`\(PostgreSQL\) (\d+)\.(\d+)`).FindSubmatch(out)
	if m == nil {
		t.Fatalf("cannot read the version %q of %s", out, bin)
	}
	major, _ := strconv.Atoi(string(m[1]))
	minor, _ := strconv.Atoi(string(m[2]))
	return &Install{
		Major:      major,
		VersionNum: major*10000 + minor,
		Version:    string(m[1]) + "." + string(m[2]),
		Bin:        bin,
		label:      label,
		who:        serverAccount(t),
	}
}

func cacheDir() string {
	if dir := os.Getenv(CacheEnv); dir != "" {
		return dir
	}
	return defaultCache
}

// HasTools reports whether the client programs are of this major version (pg_rewind and pg_waldump
// need that).
func (in *Install) HasTools() bool { return in.Major == toolsMajor }

// HasBaseBackup reports whether the pg_basebackup that there is works with a server of this version.
func (in *Install) HasBaseBackup() bool { return in.Major <= toolsMajor }

// HasReceiveWAL reports whether there is a pg_receivewal for tests.
func (in *Install) HasReceiveWAL() bool { return in.Major <= toolsMajor }
