"""Orders across services: each process is a program of its own, and any of them may be killed at any moment.

    make example-services ARGS="--orders 1000 --kill"

domain     an order, and the commands and results of the services
saga       the saga: reserve, then charge and ship at the same time
database   a service over a SQLite file of its own: how it is opened and served
stock      the service that sets goods aside
payments   the service that charges cards
front      the HTTP API: takes an order, and answers with the address of its status
load       sends orders by HTTP, as a shop's customers do
processes  keeps processes running
shop       all processes together, and who kills them in turn
archive    how each order has ended, as the audit needs it
audit      proves from the databases and the archive that the books balance
__main__   runs orders through the shop, and prints what the audit finds

The service `shipping` is `examples/participant-js/shipping.js`. docs/services.md explains all of it.
"""
