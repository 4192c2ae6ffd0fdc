package upstream

// HasPassword reports whether a conninfo itself holds a password, of the role or of a key. One that cannot be read
// holds none that would be used.
func HasPassword(conninfo string) bool {
	s, err := parseConninfo(conninfo)
	return err == nil && (s["password"] != "" || s["sslpassword"] != "")
}

// Keyword returns the value of one keyword of a conninfo, which may be another machine's: no file that it names is
// looked for. "" is given for one that is not there.
func Keyword(conninfo, name string) (string, error) {
	s, err := parseConninfo(conninfo)
	return s[name], err
}

// Passfile returns the password file that a log-in looks into, "" when it has a password without one. The file may be
// missing.
func (c *Config) Passfile() string {
	r := c.last.Load()
	if r.password != "" {
		return ""
	}
	return r.passfile
}
