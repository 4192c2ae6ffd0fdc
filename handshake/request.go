package handshake

import (
	"encoding/binary"
	"net"
	"slices"
	"strings"

	"github.com/replproxy/replproxy/grammar/pgerror"
)

// Class is the kind of session that a connection asks for, by PostgreSQL's own rules (facts A3, A5).
type Class uint8

// The classes.
const (
	Regular           Class = iota + 1 // an ordinary backend
	PhysicalWalsender                  // replication=true
	LogicalWalsender                   // replication=database
	Cancel                             // a CancelRequest: no reply, ever
)

// String returns the class in lower-case words, good for logs and metric labels.
func (c Class) String() string {
	switch c {
	case Regular:
		return "regular"
	case PhysicalWalsender:
		return "physical_walsender"
	case LogicalWalsender:
		return "logical_walsender"
	case Cancel:
		return "cancel"
	}
	return "unknown"
}

// Param is one name and value of the startup packet.
type Param struct{ Name, Value string }

// Params are the startup parameters in the client's order, repetitions included.
type Params []Param

// Get returns the value of the last parameter called exactly name, "" when there is none: a repeated parameter
// overrides the earlier one, as in PostgreSQL.
func (p Params) Get(name string) string {
	for i := len(p) - 1; i >= 0; i-- {
		if p[i].Name == name {
			return p[i].Value
		}
	}
	return ""
}

// Walsender returns the request of a regular backend turned into that of a physical walsender.
func (r *Request) Walsender() *Request {
	w := *r
	w.Class = PhysicalWalsender
	w.Params = append(slices.Clip(r.Params), Param{"replication", "true"})
	last := len(r.Raw) - 1 // the terminator
	w.Raw = append(append(slices.Clone(r.Raw[:last]), "replication\x00true\x00"...), r.Raw[last:]...)
	binary.BigEndian.PutUint32(w.Raw, uint32(len(w.Raw)))
	return &w
}

// Request is a startup packet that PostgreSQL would go on with. It is not changed after Accept.
type Request struct {
	Class        Class
	Major, Minor uint16
	// Raw is the packet as the client sent it, its length word included. SSLRequest and GSSENCRequest
	// that came before are not part of it.
	Raw []byte
	// Params are empty for a CancelRequest.
	Params Params

	// CancelPID and CancelKey (4 to 256 bytes) belong to a CancelRequest.
	CancelPID uint32
	CancelKey []byte

	// SawSSLRequest and SawGSSENCRequest tell what the client tried first and was refused.
	SawSSLRequest    bool
	SawGSSENCRequest bool

	// Certificate is the one, in DER, that a client within TLS was shown; nil in clear.
	Certificate []byte

	// Conn stands right behind the packet: not one byte more has been read.
	Conn net.Conn
}

// maxNameBytes is NAMEDATALEN-1: longer user and database names are cut (facts A2).
const maxNameBytes = 63

// User returns the user name as the server will see it: cut to 63 bytes.
func (r *Request) User() string { return truncate(r.Params.Get("user")) }

// Database returns the database name as the server will see it: the user name when absent, empty for a physical
// walsender, cut to 63 bytes.
func (r *Request) Database() string {
	if r.Class == PhysicalWalsender {
		return ""
	}
	if d := r.Params.Get("database"); d != "" {
		return truncate(d)
	}
	return r.User()
}

// ApplicationName returns the client's own, "" when it gave none; it may also come in options.
func (r *Request) ApplicationName() string {
	v, _ := r.Setting("application_name")
	return v
}

// Settings returns the server settings that the startup packet asks for, in PostgreSQL's order: those within options,
// then the parameters. A later one wins. refusal is not nil where a backend takes no such words in options: it is
// FATAL, and all are the settings that are judged before it.
func (r *Request) Settings() (all []Param, refusal *pgerror.Error) {
	all, refusal = optionSettings(SplitOptions(r.Params.Get("options")))
	if refusal != nil {
		return all, refusal
	}
	for _, p := range r.Params {
		if !reserved(p.Name) {
			all = append(all, p)
		}
	}
	return all, nil
}

// Setting returns the value of a server setting that the startup packet asks for, as a parameter or within options (-c
// name=value, --name=value). A parameter wins over options and a later one over an earlier one; names are compared
// without case, as PostgreSQL does. false: it asks for none.
func (r *Request) Setting(name string) (string, bool) {
	for i := len(r.Params) - 1; i >= 0; i-- {
		if p := r.Params[i]; !reserved(p.Name) && strings.EqualFold(p.Name, name) {
			return p.Value, true
		}
	}
	set, _ := optionSettings(SplitOptions(r.Params.Get("options")))
	for i := len(set) - 1; i >= 0; i-- {
		if strings.EqualFold(set[i].Name, name) {
			return set[i].Value, true
		}
	}
	return "", false
}

// reserved tells the parameters that are not server settings.
func reserved(name string) bool {
	switch name {
	case "user", "database", "options", "replication":
		return true
	}
	return strings.HasPrefix(name, protocolOptionPrefix)
}

func truncate(name string) string {
	if len(name) > maxNameBytes {
		return name[:maxNameBytes]
	}
	return name
}
