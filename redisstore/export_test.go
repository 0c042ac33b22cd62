package redisstore

// ScriptSHA is how EVALSHA names a script: tests find its requests by it.
func ScriptSHA(name string) string {
	for _, s := range scripts {
		if s.name == name {
			return s.sha
		}
	}
	panic("no script " + name)
}

// ScriptSHAs are the SHA-1s of all scripts by name.
func ScriptSHAs() map[string]string {
	all := map[string]string{}
	for _, s := range scripts {
		all[s.name] = s.sha
	}
	return all
}
