// aedes on the loopback port given: a real broker that speaks MQTT 3.1 and 3.1.1, and not 5.
const broker = require('aedes')()
const port = Number(process.argv[2])

require('net').createServer(broker.handle).listen(port, '127.0.0.1', () => console.log('running'))
