"""Orders: reserve stock, charge a card, book a shipment, hand it over, confirm.

domain        orders and what the services answer: plain msgspec, knows no saga
participant   how a service keeps the participant contract, on SQLite
services      the three services, each with its own database
weather       what goes wrong now and then
saga          the saga
orders_file   reads orders.csv
audit         proves from the three databases that the books balance
worker        a worker process that runs the sagas of one file
"""
