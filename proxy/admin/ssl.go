package admin

import "time"

// MaxSSL bounds the rows of ssl in the status, which may be asked for every second. Walsenders come first.
const MaxSSL = 200

// TLS is encryption towards clients.
type TLS struct {
	Mode       string    `json:"mode" doc:"off, allow or require"`
	ClientCert string    `json:"clientcert,omitempty" doc:"tls.clientcert; absent when none is asked for"`
	Subject    string    `json:"subject,omitempty" doc:"of the certificate that clients see"`
	NotAfter   time.Time `json:"not_after,omitzero" doc:"its end"`
	SHA256     string    `json:"sha256,omitempty" doc:"its fingerprint"`
	LoadedAt   time.Time `json:"loaded_at,omitzero" doc:"when the files in use were read"`
	LastError  string    `json:"last_error,omitempty" doc:"why the files as they are now are not in use"`
}

// SSL is one encrypted connection, shaped like pg_stat_ssl.
type SSL struct {
	PID     int32  `json:"pid" doc:"process ID of the session, as in standbys; 0: the stream from the primary"`
	Leg     string `json:"leg" doc:"client: to the proxy; upstream: from the proxy to its primary"`
	User    string `json:"usename,omitempty" doc:"role of the session"`
	Version string `json:"version" doc:"TLSv1.2 or TLSv1.3"`
	Cipher  string `json:"cipher" doc:"by IANA's name"`
	Bits    int    `json:"bits" doc:"of its key"`
	PeerDN  string `json:"peer_dn,omitempty" doc:"subject of the other side's certificate: client_dn, or the primary's"`
}
