package cluster

import (
	"time"

	"github.com/replproxy/replproxy/cluster/link"
)

// MemberTimeout bounds a member's silence before its standbys' votes are dropped and only its rule is remembered.
// Dropping can only lower what is reported (FIRST keeps them, ruling R5); a standby that has moved from a dead proxy
// to a living one counts again after this time. It is longer than a broken connection between live members takes to
// mend. It is a quarter of wal_sender_timeout's default, so a member is silent before the primary or a standby gives
// up. memberlist's own judgement (4 to 24 s) says to whom links are kept, not who counts.
const MemberTimeout = link.Recovery + time.Second
