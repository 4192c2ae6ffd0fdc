package fanout

import "github.com/replproxy/replproxy/grammar/copyboth"

func xid(v uint64) copyboth.FullXID { return copyboth.FullXID(v) }

func fb(xmin, catalog uint64) Feedback { return Feedback{Xmin: xid(xmin), CatalogXmin: xid(catalog)} }
