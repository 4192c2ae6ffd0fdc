package report

import (
	"github.com/replproxy/replproxy/handshake/roles"
	"github.com/replproxy/replproxy/proxy/admin"
)

// authStatus shows by which method clients are verified; s is nil with auth.method: relay.
func authStatus(s *roles.Status) admin.Auth {
	if s == nil {
		return admin.Auth{Method: "relay"}
	}
	return admin.Auth{
		Method: "scram", Roles: s.Roles, InFile: s.InFile, Asked: s.Asked, Questions: s.Questions, Failures: s.Failures,
		LastError: s.LastError, FileError: s.FileError, Down: s.Down,
	}
}

func authWarnings(a admin.Auth) (all []string) {
	switch {
	case a.LastError == "":
	case a.Down:
		all = append(all, "the primary could not be asked for roles (auth.query), what is known of them holds for "+
			"auth.cache_max_age at most: "+a.LastError)
	default:
		all = append(all, "the primary is there and does not answer for roles (auth.query), those that were asked for "+
			"longer than auth.cache_ttl ago are refused: "+a.LastError)
	}
	if a.FileError != "" {
		all = append(all, "auth.users_file has changed and cannot be used, what it said before stays in force: "+
			a.FileError)
	}
	return all
}
