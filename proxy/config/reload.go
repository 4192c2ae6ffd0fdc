package config

// Change is a key whose value is not the one in force. The values are as in the file, without secrets.
type Change struct{ Key, Old, New string }

// Reload compares the running configuration with the one that was read. next is running with the keys of read that can
// change without a restart. applied lists those of them that differ, pending the keys that differ and need a restart.
// All three are new; neither argument is changed.
func Reload(running, read *Config) (next *Config, applied, pending []Change) {
	c := *read
	next = &c
	for _, k := range keys {
		was, is := k.of(running), k.of(read)
		if was.get() == is.get() {
			continue
		}
		change := Change{Key: k.id(), Old: Redact(was.get()), New: Redact(is.get())}
		if k.live {
			applied = append(applied, change)
			continue
		}
		pending = append(pending, change)
		k.of(next).take(was)
	}
	return next, applied, pending
}
