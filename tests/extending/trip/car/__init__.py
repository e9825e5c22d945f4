"""The car service: rents a car for each trip. The pivot: a trip is booked when its car is."""
