package roles

import (
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"time"

	"github.com/replproxy/replproxy/handshake/scramauth"
	"github.com/replproxy/replproxy/handshake/upstream"
	"github.com/replproxy/replproxy/internal/afterlock"
)

// Options of a Lookup.
type Options struct {
	Upstream *upstream.Config // where the proxy logs in as itself
	Query    string           // auth.query; "" asks nobody
	File     string           // auth.users_file; "" is none
	Dir      string           // of our own, made when missing
	TTL      time.Duration    // auth.cache_ttl
	MaxAge   time.Duration    // auth.cache_max_age
	// Shown returns the parameters that the primary reports to a walsender, and its settings as SHOW has them; empty
	// while nothing is known. They are kept beside the roles, for sessions that begin while it is down.
	Shown func() (parameters, settings map[string]string)
	// Shared is a secret that all proxies of a cluster have; nil: there is no cluster.
	Shared []byte
	// Down reports that no primary is there, by another connection than that of the questions; nil: one always is.
	Down func() bool
	// Fenced reports that what the primary says is void, since its timeline is fenced; nil: it never is.
	Fenced func() bool
	Logger *slog.Logger
}

// Lookup finds the verifiers and attributes of roles. Make it with [Open]; Find may be called from any goroutine, while
// Run runs.
type Lookup struct {
	o     Options
	log   *slog.Logger
	users *users
	first chan *flight // questions about roles that are known, asked first
	queue chan *flight // and those about other names

	mu         afterlock.Mutex
	cache      *cache
	flights    map[string]*flight // questions under way, by name
	retryAt    time.Time          // nobody waits for the primary before
	awayAt     time.Time          // when it could not be reached last; zero: it was reached since
	silent     bool               // no primary answered the last question, or one that stops or starts
	hold       time.Duration      // every answer is held back until so long after its question
	iterations int                // the primary's scram_iterations
	mock       []byte             // the secret that the salts of unknown roles are made of
	shown      kept               // Parameters and Settings only
	mockFinal  bool               // mock will not change
	lastErr    error              // of the last question
	lastAsked  time.Time
	failed     string    // the name that lastErr is about
	failedAt   time.Time // when that was asked for
	questions  int64
	failures   int64
}

// flight is one question; others that want to know the same wait for it.
type flight struct {
	name string
	done chan struct{} // closed when the cache has the answer, or err is set
	err  error
}

// Open reads the users file, and the roles and the secret that Dir keeps, and starts nothing. An error about the users
// file is a *[FileError]. Roles that can't be read are logged, and are no error.
func Open(o Options) (*Lookup, error) {
	k := &Lookup{
		o: o, log: o.Logger, first: make(chan *flight, maxQueue), queue: make(chan *flight, maxQueue),
		flights: map[string]*flight{}, hold: minHold,
		cache: newCache(o.TTL, o.MaxAge), iterations: scramauth.DefaultIterations,
	}
	never := func() bool { return false }
	if k.o.Down == nil {
		k.o.Down = never
	}
	if k.o.Fenced == nil {
		k.o.Fenced = never
	}
	var err error
	if k.users, err = openUsers(o.File, o.Logger); err != nil {
		return nil, err
	}
	if k.mock, k.mockFinal, err = openMock(o.Dir, o.Shared); err != nil {
		return nil, fmt.Errorf("open the secret of unknown roles: %w", err)
	}
	had, err := load(o.Dir)
	if err != nil {
		o.Logger.Error("what was kept of roles cannot be used: nobody logs in before the primary has been asked",
			"err", err)
	}
	if n := k.cache.restore(had.Roles, time.Now()); n > 0 {
		o.Logger.Error("roles that were kept say that they were asked for in the future: they are not used", "roles", n)
	}
	k.shown = kept{Parameters: had.Parameters, Settings: had.Settings}
	if had.Iterations > 0 {
		k.iterations = had.Iterations
	}
	return k, nil
}

// Suspect says that a client has failed by what f was worth, or that the primary has refused it: the password
// may have been changed, and the next log-in asks.
func (k *Lookup) Suspect(name string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.cache.suspect(name, time.Now())
}

// Mock returns the verifier that is shown to a client that cannot succeed.
func (k *Lookup) Mock(name string) scramauth.Verifier {
	k.mu.Lock()
	defer k.mu.Unlock()
	return scramauth.Mock(k.mock, name, k.iterations)
}

// Tune changes how long answers hold: for ttl nobody asks again, and for maxAge they are used while the primary cannot
// be asked. It holds for present answers, too. Any goroutine may call it.
func (k *Lookup) Tune(ttl, maxAge time.Duration) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.cache.ttl, k.cache.maxAge = ttl, maxAge
}

// Expect names the roles that are going to log in. They are asked for in advance, so that a standby can come to a
// proxy for the first time while the primary is down.
func (k *Lookup) Expect(names []string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.cache.expected, k.cache.missed = names, time.Time{}
}

// Shown returns Options.Shown, or what it was when something was known last. The maps are not changed.
func (k *Lookup) Shown() (parameters, settings map[string]string) {
	parameters, settings = k.o.Shown()
	k.mu.Lock()
	defer k.mu.Unlock()
	if len(parameters) == 0 {
		parameters = k.shown.Parameters
	}
	if len(settings) == 0 {
		settings = k.shown.Settings
	}
	return parameters, settings
}

// Status has the figures for pages.
type Status struct {
	Roles     int       // that are remembered
	InFile    int       // of auth.users_file
	Asked     time.Time // the last answer of the primary
	Questions int64
	Failures  int64
	LastError string // of the last question, "" when it was answered
	Down      bool   // no primary is there, so that what is known of roles is used
	FileError string // why the users file as it is now is not in use
}

// Status returns the present state.
func (k *Lookup) Status() Status {
	n, fileErr := k.users.status()
	down, fenced := k.o.Down(), k.o.Fenced()
	k.mu.Lock()
	defer k.mu.Unlock()
	s := Status{
		Roles: len(k.cache.entries) - k.cache.unknown, InFile: n, Asked: k.lastAsked,
		Questions: k.questions, Failures: k.failures,
	}
	if k.lastErr != nil {
		s.LastError, s.Down = k.lastErr.Error(), k.silent && down || fenced
	}
	if fileErr != nil {
		s.FileError = fileErr.Error()
	}
	return s
}

// snapshot returns the state to write to the disk, if it has changed since the last call. timesToo: a change of times
// only counts as well.
func (k *Lookup) snapshot(timesToo bool) (kept, bool) {
	parameters, settings := k.o.Shown()
	k.mu.Lock()
	defer k.mu.Unlock()
	if len(parameters) > 0 && len(settings) > 0 &&
		!(maps.Equal(parameters, k.shown.Parameters) && maps.Equal(settings, k.shown.Settings)) {
		k.shown = kept{Parameters: maps.Clone(parameters), Settings: maps.Clone(settings)}
		k.cache.changed = true
	}
	if !k.cache.changed && !(timesToo && k.cache.asked) {
		return kept{}, false
	}
	k.cache.changed, k.cache.asked = false, false
	return kept{
		Roles: k.cache.keep(), Iterations: k.iterations,
		Parameters: k.shown.Parameters, Settings: k.shown.Settings,
	}, true
}

// save keeps a snapshot; when it can't, the next one is tried again.
func (k *Lookup) save(timesToo bool) {
	s, changed := k.snapshot(timesToo)
	if !changed {
		return
	}
	b, err := encode(s)
	if err == nil {
		err = write(k.o.Dir, rolesFile, b)
	}
	if err != nil {
		k.log.Error("roles could not be kept for the time when the primary is down", "err", err)
		k.mu.Lock()
		k.cache.changed = true
		k.mu.Unlock()
	}
}

var errStopped = errors.New("the proxy stops")
