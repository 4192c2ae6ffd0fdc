package child

import (
	"errors"
	"os"
	"os/user"
	"strconv"
	"syscall"
)

// Account holds the operating system user whose processes run PostgreSQL, which refuses root.
type Account struct {
	Name     string // "" for the present user
	UID, GID int
}

// Unprivileged returns the present user, or under root the first of postgres and nobody that exists.
func Unprivileged() (Account, error) {
	if os.Geteuid() != 0 {
		return Account{UID: os.Geteuid(), GID: os.Getegid()}, nil
	}
	for _, name := range []string{"postgres", "nobody"} {
		u, err := user.Lookup(name)
		if err != nil {
			continue
		}
		uid, err1 := strconv.Atoi(u.Uid)
		gid, err2 := strconv.Atoi(u.Gid)
		if err1 == nil && err2 == nil && uid != 0 {
			return Account{Name: name, UID: uid, GID: gid}, nil
		}
	}
	return Account{}, errors.New("running as root, which PostgreSQL refuses, and there is no user postgres or nobody")
}

// Attributes returns the attributes by which a child runs as this account, in a process group of its own, so that
// Ctrl-C does not reach it. The kernel sends it end when the thread that started it ends, where it can do that.
func (a Account) Attributes(end syscall.Signal) *syscall.SysProcAttr {
	attr := &syscall.SysProcAttr{Setpgid: true}
	if a.Name != "" {
		attr.Credential = &syscall.Credential{
			Uid: uint32(a.UID), Gid: uint32(a.GID), Groups: []uint32{uint32(a.GID)},
		}
	}
	endWithParent(attr, end)
	return attr
}

// Own gives a file or folder to the account, not what is within it. It does nothing for the present user. A symbolic
// link itself is given, not its target.
func (a Account) Own(path string) error {
	if a.Name == "" {
		return nil
	}
	return os.Lchown(path, a.UID, a.GID)
}
