package outbound

// UserAgent is sent with every request of this module. Some servers reject requests with that of net/http.
const UserAgent = "regionjwt/0.1"
