package failover

// SetSpread sets by how much of a tenth holds are longer: from 0 to 1.
func (c *Controller) SetSpread(f func() float64) { c.spread = f }
