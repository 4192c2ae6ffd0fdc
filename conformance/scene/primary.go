package scene

import (
	"time"
)

// WalSenderTimeout is PostgreSQL's default of wal_sender_timeout: how long a primary waits for a walsender's
// standby that is silent, when it stops for example. authentication_timeout is the same.
const WalSenderTimeout = time.Minute
