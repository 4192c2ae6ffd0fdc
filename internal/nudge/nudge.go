package nudge

// Chan has room for one token. Receive from it to wait for the token and take it. The zero Chan is nil: waking it does
// nothing, and a receive blocks forever.
type Chan chan struct{}

// New returns a Chan without a token.
func New() Chan { return make(Chan, 1) }

// Wake puts a token in unless one is there. It does not block, and any goroutine may call it.
func (c Chan) Wake() {
	select {
	case c <- struct{}{}:
	default:
	}
}
