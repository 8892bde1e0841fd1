// Runs an emulator of DynamoDB in memory on a free port of loopback, writes the port, and ends with its standard input.
import dynalite from 'dynalite'

const server = dynalite({ createTableMs: 0 })
server.listen(0, '127.0.0.1', () => console.log(server.address().port))
// A request that its client gives up is no reason to end: the emulator throws the error of its stream.
process.on('uncaughtException', (err) => {
  if (err.code !== 'ECONNRESET') throw err
})
process.stdin.on('end', () => process.exit(0)).resume()
