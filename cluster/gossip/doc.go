// Package gossip tells which proxies are up and their addresses, by memberlist. It is the only
// importer of that library, and nothing that it says counts for a commit.
//
//	UDP, AES-GCM by key_file ◄──► memberlist ◄──► TCP: TLS by node keys, through link.Listener
//	                                  │
//	                                  ▼ Live, Changed
//	                         link: whom to send acks to
//
// Two locks protect the listener: packets need the shared key, and streams (join, push/pull) a configured
// member's private key. Names that are not configured are refused and counted, so an outsider with the
// gossip key can make a proxy look dead or alive, and no more (ruling R22).
//
// memberlist does not heal a partition by itself (measured), so while a configured member is
// missing the seeds are asked again every rejoinInterval.
package gossip
