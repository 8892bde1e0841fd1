package main

// DrillCodes lists each code of check with its level, what it means and what to do.
func DrillCodes() map[string][3]string {
	all := map[string][3]string{}
	for c, m := range meanings {
		all[string(c)] = [3]string{string(m.level), m.says, m.measure}
	}
	return all
}
