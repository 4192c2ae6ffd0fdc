package roles

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"time"
	"unicode/utf8"

	"github.com/replproxy/replproxy/handshake/scramauth"
	"github.com/replproxy/replproxy/handshake/upstream"
	"github.com/replproxy/replproxy/internal/afterlock"
)

const (
	// maxQueue bounds the questions that wait: beyond it the primary counts as one that can't be asked.
	maxQueue = 256
	// askWait is how long a log-in waits for an answer, staleWait when what is known may do instead.
	askWait   = 10 * time.Second
	staleWait = 2 * time.Second
	// maxLinger bounds how long what is known is held back so that it comes no sooner than an answer.
	maxLinger = 100 * time.Millisecond
)

// Options of a Keeper.
type Options struct {
	Upstream *upstream.Config // where the proxy logs in as itself
	Query    string           // auth.query; "" asks nobody
	File     string           // auth.users_file; "" is none
	Dir      string           // of our own, made when missing
	TTL      time.Duration    // auth.cache_ttl
	MaxAge   time.Duration    // auth.cache_max_age
	// Shown is what the primary reports of itself to a walsender, and its settings as SHOW has them; empty
	// while nothing is known. They are kept beside the roles, for sessions that begin while it is down.
	Shown  func() (parameters, settings map[string]string)
	Logger *slog.Logger
}

// Keeper answers who may log in. Make it with [Open]; Find may be called from any goroutine, while Run runs.
type Keeper struct {
	o     Options
	log   *slog.Logger
	users *users
	mock  []byte
	queue chan *flight

	mu          afterlock.Mutex
	cache       *cache
	flights     map[string]*flight // questions under way, by name
	pausedUntil time.Time          // nobody waits for the primary before
	awayAt      time.Time          // when it could not be reached last; zero: it was reached since
	took        time.Duration      // how long it took to answer last
	iterations  int                // the primary's scram_iterations
	shown       kept               // Parameters and Settings only
	lastErr     error              // of the last question
	lastAsked   time.Time
	questions   int64
	failures    int64
}

// flight is one question; others that want to know the same wait for it.
type flight struct {
	name string
	done chan struct{} // closed when the cache has the answer, or err is set
	err  error
}

// Open reads what is kept and starts nothing. What is wrong with the users file is a *[FileError].
func Open(o Options) (*Keeper, error) {
	k := &Keeper{
		o: o, log: o.Logger, queue: make(chan *flight, maxQueue), flights: map[string]*flight{},
		cache: newCache(o.TTL, o.MaxAge), iterations: scramauth.DefaultIterations,
	}
	var err error
	if k.users, err = openUsers(o.File, o.Logger); err != nil {
		return nil, err
	}
	if k.mock, err = secret(o.Dir); err != nil {
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

// Find says who name is. It blocks while the primary is asked, 10 seconds at most, or until ctx ends.
func (k *Keeper) Find(ctx context.Context, name string) Found {
	r, filed := k.users.find(name)
	if k.o.Query == "" {
		return Found{Role: r, Known: filed, Certain: true}
	}
	k.mu.Lock()
	now := time.Now()
	paused, away := now.Before(k.pausedUntil), !k.awayAt.IsZero() && now.Sub(k.awayAt) < max(pause, k.cache.ttl)
	f, fresh, usable := k.cache.look(name, now)
	if filed {
		f, fresh, usable = Found{Role: r, Known: true}, true, true
	}
	if fresh || paused || !utf8.ValidString(name) {
		linger := k.took
		k.mu.Unlock()
		if !paused {
			sleep(ctx, linger)
		}
		return fallback(f, (fresh || !utf8.ValidString(name)) && !away, usable || fresh)
	}
	q, asked := k.askLocked(name)
	k.mu.Unlock()
	if !asked {
		return fallback(f, false, usable)
	}
	wait := askWait
	if usable {
		wait = staleWait
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-q.done:
	case <-timer.C:
		return fallback(f, false, usable)
	case <-ctx.Done():
		return fallback(f, false, usable)
	}
	if q.err != nil {
		return fallback(f, false, usable)
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	f, _, _ = k.cache.look(name, time.Now())
	f.Certain, f.Asked = true, true
	return f
}

// sleep makes what is known as slow as a question, or the time would tell which names are roles that logged in lately.
func sleep(ctx context.Context, d time.Duration) {
	if d <= 0 {
		return
	}
	timer := time.NewTimer(min(d, maxLinger))
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

// fallback is what f is worth when the primary was not asked.
func fallback(f Found, fresh, usable bool) Found {
	if !fresh && !usable {
		return Found{FromPrimary: true}
	}
	f.Certain = fresh
	return f
}

// askLocked joins the question for name, or puts it.
func (k *Keeper) askLocked(name string) (*flight, bool) {
	if q := k.flights[name]; q != nil {
		return q, true
	}
	q := &flight{name: name, done: make(chan struct{})}
	select {
	case k.queue <- q:
		k.flights[name] = q
		return q, true
	default:
		return nil, false
	}
}

// Doubt says that a client has failed by what f was worth, or that the primary has refused it: the password
// may have been changed, and the next log-in asks.
func (k *Keeper) Doubt(name string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.cache.doubt(name, time.Now())
}

// Mock is what a client that cannot succeed is shown.
func (k *Keeper) Mock(name string) scramauth.Verifier {
	k.mu.Lock()
	defer k.mu.Unlock()
	return scramauth.Mock(k.mock, name, k.iterations)
}

// Tune changes how long answers hold.
func (k *Keeper) Tune(ttl, maxAge time.Duration) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.cache.ttl, k.cache.maxAge = ttl, maxAge
}

// Expect says who is going to log in: those roles are asked for before, so that a standby can come to a proxy
// for the first time while the primary is down.
func (k *Keeper) Expect(names []string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.cache.expected, k.cache.missed = names, time.Time{}
}

// Shown is Options.Shown, or what it was when something was known last. The maps are not changed.
func (k *Keeper) Shown() (parameters, settings map[string]string) {
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

// Status is what pages show.
type Status struct {
	Roles     int       // that are remembered
	InFile    int       // of auth.users_file
	Asked     time.Time // the last answer of the primary
	Questions int64
	Failures  int64
	LastError string // of the last question, "" when it was answered
	FileError string // why the users file as it is now is not in use
}

// Status is now.
func (k *Keeper) Status() Status {
	n, fileErr := k.users.status()
	k.mu.Lock()
	defer k.mu.Unlock()
	s := Status{
		Roles: len(k.cache.entries) - k.cache.unknown, InFile: n, Asked: k.lastAsked,
		Questions: k.questions, Failures: k.failures,
	}
	if k.lastErr != nil {
		s.LastError = k.lastErr.Error()
	}
	if fileErr != nil {
		s.FileError = fileErr.Error()
	}
	return s
}

// snapshot takes what is to be kept, if it differs from what was taken last. timesToo: a change of times only
// counts as well.
func (k *Keeper) snapshot(timesToo bool) (kept, bool) {
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
func (k *Keeper) save(timesToo bool) {
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
